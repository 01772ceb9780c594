"""The lake's bars as one memory-mapped panel, kept beside the lake and brought up to date when asked for.

``<lake>/panel/1m/`` holds log closes, and on request channels, as ``research/lanes.py`` lays them out.
It is made from the lake and from nothing else: deleting the folder costs time, never data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mexclab.errors import DataError, ParameterError
from mexclab.research.lanes import Stretch, arrange
from mexclab.research.series import CHANNELS
from mexclab.research.windows import Panel
from mexclab.store import lake_partition
from mexclab.store.lake import Lake
from mexclab.store.lake_fresh import Fresh
from mexclab.store.lake_layout import interval_ms
from mexclab.store.lake_months import Months
from mexclab.store.panel_file_draft import Draft, Room, Source
from mexclab.store.panel_file_index import (
    CLOSE,
    DataFiles,
    Index,
    Opened,
    joined,
    panel_runs,
    read_index,
    remove_unnamed,
    runs_in,
)
from mexclab.store.panel_file_refresh import refreshed
from mexclab.store.panel_file_stamps import extents, fresh_extents, same, stamps_of, stretched

Progress = Callable[[int, int], None]
"""Is told how many lanes are done, and of how many."""

FOLDER = "panel"
ROOM = Room()


def panel_of(
    lake: Lake, interval: str = "1m", channels: Sequence[str] = (), progress: Progress | None = None
) -> Panel:
    """Every bar of ``lake`` at ``interval`` as a panel over memory-mapped files.

    The first call builds the files, symbol by symbol. Later ones append what came since; what else
    changed is laid out anew, group by group. A panel stays as it was when it was opened.

    Args:
        channels: of ``volume`` and ``range``, those that are wanted beside the closes.
        progress: told while bars are read.

    Raises:
        DataError: the lake is empty or damaged, or the disk is full; a panel that was there still is.
        ParameterError: an interval or a channel that does not exist.
    """
    return PanelFile(lake, interval).panel(channels, progress)


class PanelFile:
    """The panel file of a lake at one interval.

    Args:
        lake: the bars.
        interval: which of them.
        room: how much stays movable.
        lock_wait_s: how long to wait while another process brings it up to date.
    """

    def __init__(
        self,
        lake: Lake,
        interval: str = "1m",
        room: Room = ROOM,
        *,
        lock_wait_s: float = 1800.0,
    ) -> None:
        self.lake = lake
        self.interval = interval
        self.folder = Path(lake.root) / FOLDER / interval
        self._room = room
        self._wait_s = lock_wait_s
        interval_ms(interval)

    def panel(self, channels: Sequence[str] = (), progress: Progress | None = None) -> Panel:
        """See `panel_of`."""
        unknown = [name for name in channels if name not in CHANNELS]
        if unknown:
            raise ParameterError(
                f"There is no channel {unknown[0]}: choose among {', '.join(CHANNELS)}.", channel=unknown[0]
            )
        opened = self._opened(self._fresh_index(channels))
        if opened is not None:
            return self._panel(opened, channels)
        try:
            with lake_partition.locked(self.folder, self._wait_s):
                opened = self._opened(self._fresh_index(channels))
                if opened is None:
                    opened = Opened(self.folder, self._renewed(channels, progress))
                return self._panel(opened, channels)
        except DataError as why:
            if not isinstance(why.__cause__, PermissionError) and not _is_read_only(why.__cause__):
                raise
            # a lake that we may only read: the panel lives in memory
            bars = self.lake.scan(None, interval=self.interval)
            return Panel.from_frame(bars, interval_ms(self.interval) * 1_000_000, channels=tuple(channels))
        except OSError as why:
            raise DataError(
                f"{self.folder} could not be written ({why}); the lake is as it was. Make room or fix the "
                "permissions and try again",
                path=str(self.folder),
            ) from why

    def is_fresh(self) -> bool:
        """Whether the files hold what the lake holds, so that opening them reads no bars."""
        return self._fresh_index(()) is not None

    def _fresh_index(self, channels: Sequence[str]) -> Index | None:
        index = read_index(self.folder)
        if index is None or not set(channels) <= set(index.channels):
            return None
        return index if same(index.stamps, stamps_of(self.lake.root, self.interval, index.stamps)) else None

    def _renewed(self, channels: Sequence[str], progress: Progress | None) -> Index:
        index = read_index(self.folder)
        if index is not None and set(channels) <= set(index.channels):
            source = Source(self.lake, self.interval, index.channels)
            opened = self._opened(index)
            done = refreshed(opened, self.folder, source, self._room) if opened else None
            if done is not None:
                return done
        held = set(index.channels[1:]) if index is not None else set()
        source = Source(self.lake, self.interval, (CLOSE, *sorted(held | set(channels))))
        return self._built(source, progress)

    def _built(self, source: Source, progress: Progress | None) -> Index:
        """The whole panel from the lake, one group in memory at a time."""
        root = self.lake.root
        stamps = stamps_of(root, self.interval)
        fresh = fresh_extents(Fresh(root).bars(self.interval))
        names = sorted({*stamps.folders, *fresh})
        if not names:
            self.lake.scan(None, interval=self.interval)  # says what to do about an empty lake
        months = Months(root)
        months.recall()
        pieces = [
            Stretch(at, piece.first_ns, piece.last_ns)
            for at, name in enumerate(names)
            for piece in stretched(extents(root, self.interval, name, months, fresh), source.step_ns)
        ]
        months.remember()
        remove_unnamed(self.folder, read_index(self.folder))
        data = None
        try:
            data = DataFiles(self.folder, source.channels)
            draft = Draft(self.folder, source, data, self._room)
            done = 0
            for lanes in draft.lay_stretches(names, arrange(pieces, source.step_ns), pieces):
                done += lanes
                if progress is not None:
                    progress(done, len(pieces))
            index = draft.finish(stamps)
            data.close()
            return index
        except BaseException:  # Ctrl-C, too: gigabytes that no index names must not stay behind
            if data is not None:
                with contextlib.suppress(OSError):  # what is buffered still need not fit on the disk
                    data.close()
            # the index is read anew: it may name the new files already
            remove_unnamed(self.folder, read_index(self.folder))
            raise

    def _opened(self, index: Index | None) -> Opened | None:
        """The files of ``index``; None where one was replaced meanwhile or is damaged: make them anew."""
        if index is None:
            return None
        try:
            return Opened(self.folder, index)
        except (FileNotFoundError, DataError):
            return None

    def _panel(self, opened: Opened, channels: Sequence[str]) -> Panel:
        index, by_group = opened.index, []
        for at, group in enumerate(index.groups):
            frozen = opened.runs[1:, opened.runs[0] == at]
            tail = opened.rows(CLOSE, group, group.frozen)
            by_group.append(joined(frozen, runs_in(tail), group.frozen))
        names, groups = index.layout()
        step_ns = interval_ms(self.interval) * 1_000_000
        return Panel.from_lanes(
            names,
            step_ns,
            groups,
            opened.arrays[CLOSE],
            {name: opened.arrays[name] for name in channels},
            panel_runs(index, by_group, step_ns),
        )


def _is_read_only(why: BaseException | None) -> bool:
    return isinstance(why, OSError) and why.errno == 30  # EROFS

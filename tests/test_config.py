"""Settings: precedence, origin, refusals. What a person mistypes is named, never guessed."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mexclab.config import Loaded, Settings, describe, load_settings, variable_of
from mexclab.errors import ConfigError


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def load(text: str = "", **environ: str) -> Loaded:
    Path("mexclab.toml").write_text(textwrap.dedent(text), encoding="utf-8")
    return load_settings(environ=environ)


def refused(text: str = "", **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **environ)
    return str(caught.value)


def test_the_defaults_are_paper_money_on_loopback_with_the_published_limits() -> None:
    settings = load_settings(environ={}).settings
    assert (settings.mode, settings.api.host, settings.api.port) == ("paper", "127.0.0.1", 8787)
    assert settings.limits.per_order_quote == settings.limits.per_symbol_quote == Decimal(50)
    assert (settings.limits.total_exposure_quote, settings.limits.open_snipes) == (Decimal(200), 3)
    assert (settings.limits.day_loss_quote, settings.limits.drawdown) == (Decimal(100), Decimal("0.10"))
    assert (settings.limits.orders_per_s, settings.limits.clock_offset_ms) == (5, 250)
    assert settings.ledger.url is None
    assert settings.snipe.auto_arm is False
    assert settings.listings.ready_triples == ((2, 2, 4),)


def test_every_default_passes_the_rules_that_a_person_must_pass() -> None:
    defaults = Settings()
    assert Settings.model_validate(defaults.model_dump()) == defaults


def test_the_environment_beats_the_file_and_the_file_beats_the_default() -> None:
    loaded = load("[api]\nport = 1000\n[dash]\nport = 2000\n", MEXCLAB_API__PORT="3000")
    assert (loaded.settings.api.port, loaded.settings.dash.port) == (3000, 2000)
    assert loaded.settings.dash.lab_port == 8888


def test_every_setting_knows_where_it_came_from() -> None:
    text = """\
        mode = "paper"

        [limits]  # the desk's own
        drawdown = "0.05"
        [listings]
        minimum_lead_h = 1
        ready_triples = [
          [2, 2, 4],  # [limits]
          [2, 1, 4],
        ]
        poll_interval_s = 60
        """
    origin = load(text, MEXCLAB_API__PORT="0").origin
    assert origin["mode"] == "mexclab.toml:1"
    assert origin["limits.drawdown"] == "mexclab.toml:4"
    assert origin["listings.ready_triples"] == "mexclab.toml:7"
    assert origin["listings.poll_interval_s"] == "mexclab.toml:11"
    assert origin["api.port"] == "environment MEXCLAB_API__PORT"
    assert origin["dash.port"] == "default"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# a\napi.port = 1\n", 2),
        ("\n[api]\n\nport = 1\n", 4),
        ("api = { host = '::1', port = 1 }\n", 1),
        ("[paper]\nquote_asset = '''\nUSDC'''\n['api']\n\"port\" = 1\n", 5),
        ("[api]\r\nport = 1\r\n", 2),
        ("\ufeff[api]\nport = 1\n", 2),
    ],
)
def test_a_key_is_found_on_its_line_however_toml_writes_it(text: str, line: int) -> None:
    Path("mexclab.toml").write_bytes(text.encode())
    loaded = load_settings(environ={})
    assert (loaded.settings.api.port, loaded.origin["api.port"]) == (1, f"mexclab.toml:{line}")


def test_the_file_is_the_named_one_else_the_working_folders_else_the_data_folders(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mexclab.toml").write_text("[api]\nport = 1\n")
    (tmp_path / "named.toml").write_text("[api]\nport = 3\n")
    environ = {"MEXCLAB_DATA": str(data)}
    assert load_settings(environ=environ).settings.api.port == 1
    Path("mexclab.toml").write_text("[api]\nport = 2\n")
    assert load_settings(environ=environ).settings.api.port == 2
    environ["MEXCLAB_CONFIG"] = "../named.toml"
    named = load_settings(environ=environ)
    assert (named.settings.api.port, named.file) == (3, tmp_path / "named.toml")
    assert named.origin["api.port"] == f"{tmp_path / 'named.toml'}:2"
    assert load_settings(path=data / "mexclab.toml", environ=environ).settings.api.port == 1


def test_a_named_file_that_is_not_there_is_refused_not_skipped(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml.*MEXCLAB_CONFIG"):
        load_settings(environ={"MEXCLAB_CONFIG": str(tmp_path / "gone.toml")})
    with pytest.raises(ConfigError, match="no settings file"):
        load_settings(path=tmp_path, environ={})


def test_a_misspelt_limit_is_refused_with_its_line_and_the_nearest_name() -> None:
    words = refused("[limits]\ndrawdwon = 0.05\n")
    assert "limits.drawdwon (mexclab.toml:2) is no setting; did you mean limits.drawdown?" in words


def test_a_misspelt_group_is_refused_once_at_its_heading() -> None:
    words = refused("mode = 'paper'\n[limit]\ndrawdown = 0.05\nopen_snipes = 1\n")
    assert "limit (mexclab.toml:2) is no setting; did you mean limits?" in words
    assert words.count("is no setting") == 1


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("MEXCLAB_API__PROT", "MEXCLAB_API__PORT"),
        ("MEXCLAB_API_PORT", "MEXCLAB_API__PORT"),
        ("MEXCLAB_api__port", "MEXCLAB_API__PORT"),
        ("MEXCLAB_MODUS", "MEXCLAB_MODE"),
        ("MEXCLAB_CONFIGS", "MEXCLAB_CONFIG"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(variable: str, nearest: str) -> None:
    words = refused(**{variable: "1"})
    assert f"{variable} in the environment is no setting; did you mean {nearest}?" in words


def test_variables_of_others_and_the_test_seed_are_left_alone() -> None:
    assert load(MEXCLAB_TEST_SEED="7", HOME="x", mexclab_x="y").settings == Settings()


def test_an_empty_variable_is_refused_for_it_may_be_a_limit_that_got_lost() -> None:
    assert "MEXCLAB_LIMITS__DRAWDOWN in the environment is empty" in refused(MEXCLAB_LIMITS__DRAWDOWN="")


def test_every_problem_is_told_at_once_with_key_value_place_and_rule() -> None:
    words = refused("mode = 'real'\n[api]\nport = 70000\n", MEXCLAB_PAPER__SEED="x", MEXCLAB_NO="1")
    assert "mode = \"real\" (mexclab.toml:1): must be 'paper' or 'live'" in words
    assert "api.port = 70000 (mexclab.toml:3): must be less than or equal to 65535" in words
    assert 'paper.seed = "x" (environment MEXCLAB_PAPER__SEED): must be a valid integer' in words
    assert "MEXCLAB_NO in the environment" in words
    assert "\n" not in words


@pytest.mark.parametrize(
    "text",
    [
        "[api]\nport = true",
        "[api]\nport = '8787'",
        "[api]\nport = 8787.5",
        "[limits]\nopen_snipes = 0",
        "[limits]\norders_per_s = 13",
        "[limits]\ndrawdown = 1.5",
        "[limits]\nday_loss_quote = nan",
        "[limits]\nday_loss_quote = inf",
        "[limits]\nday_loss_quote = true",
        "[limits]\nday_loss_quote = 'lots'",
        "[limits]\nper_order_quote = 1e10",
        "[snipe]\nauto_arm = 1",
        "[snipe]\nauto_arm = 'yes'",
        "[snipe]\nexit_preset = 'bold'",
        "[listings]\nready_triples = [[2, 2]]",
        "[listings]\nready_triples = []",
        "[listings]\nready_triples = '[[2,2,4]]'",
        "[log]\nlevel = 'LOUD'",
        "data = 3",
        "mode = ['paper']",
        "api = 3",
        "[[api]]\nport = 1",
        "[mode]\nx = 1",
        "[api.port]\nx = 1",
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused(text: str) -> None:
    assert "mexclab.toml:" in refused(text)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.com", "::", ""])
def test_the_api_listens_on_loopback_only(host: str) -> None:
    assert "loopback" in refused(f"[api]\nhost = '{host}'\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_each_loopback_address_will_do(host: str) -> None:
    assert load(f"[api]\nhost = '{host}'\n").settings.api.host == host


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb =\n", 2), ("[api\n", 1), ("a=1\na=2\n", 2), ("a = '''\nx\n", 2)]
)
def test_broken_toml_is_refused_with_its_line(text: str, line: int) -> None:
    assert f"mexclab.toml:{line} is not TOML" in refused(text)


def test_a_file_that_is_not_text_is_refused() -> None:
    Path("mexclab.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(environ={})


@pytest.mark.parametrize("typed", ["0.1", '"0.1"'])
def test_money_in_the_file_has_the_digits_that_were_typed(typed: str) -> None:
    assert str(load(f"[snipe]\nbudget_quote = {typed}\n").settings.snipe.budget_quote) == "0.1"


@given(st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal(10**9), places=8))
def test_money_survives_file_and_environment_to_the_last_digit(amount: Decimal) -> None:
    text = f"[limits]\nday_loss_quote = {amount:f}\n"
    Path("mexclab.toml").write_text(text)
    assert load_settings(environ={}).settings.limits.day_loss_quote == amount
    environ = {"MEXCLAB_LIMITS__DAY_LOSS_QUOTE": str(amount)}
    assert load_settings(environ=environ).settings.limits.day_loss_quote == amount


def test_lists_and_switches_can_be_given_by_the_environment() -> None:
    settings = load(
        MEXCLAB_LISTINGS__READY_TRIPLES="[[1,2,3],[2,2,4]]", MEXCLAB_SNIPE__AUTO_ARM="true"
    ).settings
    assert settings.listings.ready_triples == ((1, 2, 3), (2, 2, 4))
    assert settings.snipe.auto_arm is True
    assert "auto_arm" in refused(MEXCLAB_SNIPE__AUTO_ARM="maybe")


def test_the_data_folder_is_absolute_whatever_was_typed() -> None:
    data = load("data = 'lake'\n").settings.data
    assert data == Path.cwd() / "lake"
    assert load(MEXCLAB_DATA="~/lake").settings.data == Path.home() / "lake"


URL = "postgresql://desk:hun%40ter2@db.example:5432/mexclab?sslmode=require&sslpassword=hunter3"


def test_the_ledgers_password_shows_in_no_table_repr_or_error() -> None:
    loaded = load(MEXCLAB_LEDGER__URL=URL, MEXCLAB_API__PORT="1")
    rows = {row.key: row for row in describe(loaded)}
    masked = "postgresql://desk:********@db.example:5432/mexclab?sslmode=require&sslpassword=********"
    assert rows["ledger.url"].value == masked
    assert loaded.settings.ledger.url is not None
    assert loaded.settings.ledger.url.get_secret_value() == URL
    assert "hun" not in repr(loaded)


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "mysql://desk:hunter2@db/mexclab",
        "postgresql:hunter2@db",
        "postgresql://desk:hun@ter2@db/mexclab",
        "postgresql://desk:hun/ter2@db/mexclab",
        "postgresql://desk:hun#ter2@db/mexclab",
        "postgresql://desk:hun?ter2@db/mexclab",
        "postgresql://desk:hunter2",
        "postgresql://[desk:hunter2@db/x",
    ],
)
def test_an_address_that_cannot_be_trusted_is_refused_and_masked_whole(url: str) -> None:
    words = refused(MEXCLAB_LEDGER__URL=url)
    assert "ledger.url = ******** (environment MEXCLAB_LEDGER__URL): must" in words
    assert "hun" not in words
    assert "ter2" not in words


def test_an_error_holds_no_secret_in_its_data_or_its_causes() -> None:
    with pytest.raises(ConfigError) as caught:
        load(MEXCLAB_LEDGER__URL="postgresql://desk:hun#ter2@db/x")
    assert "ter2" not in repr(caught.value.data)
    assert caught.value.__cause__ is None
    assert "ter2" not in repr(caught.value.__context__)


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    settings = load().settings
    with pytest.raises(ValidationError):
        settings.limits.drawdown = Decimal(1)  # type: ignore[misc]


def test_every_setting_has_help_a_variable_and_a_row() -> None:
    rows = describe(load())
    assert len({row.key for row in rows}) == len(rows) > 40
    assert all(row.help and row.value and row.origin for row in rows)
    assert variable_of("snipe.auto_arm") == "MEXCLAB_SNIPE__AUTO_ARM"


def test_every_row_can_be_typed_back_through_its_variable() -> None:
    rows = [row for row in describe(load()) if row.value != "none"]
    environ = {variable_of(row.key): row.value for row in rows}
    assert load(**environ).settings == Settings()


@given(st.text(max_size=200))
def test_no_text_at_all_makes_reading_fail_in_another_way(text: str) -> None:
    Path("mexclab.toml").write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        loaded = load_settings(environ={})
    except ConfigError:
        return
    assert loaded.settings == Settings()


_NAMES = st.sampled_from(["mode", "data", "api", "port", "limits", "drawdown", "ledger", "url", "x", "a-b"])
_VALUES = st.sampled_from(
    ["1", "0.5", "true", '"x"', "[]", "[[2, 2, 4]]", "{}", "{ port = 1 }", "nan", "1979-05-27"]
)
_LINES = st.one_of(
    st.tuples(_NAMES, _VALUES).map(" = ".join),
    st.tuples(_NAMES, _NAMES, _VALUES).map(lambda parts: f"{parts[0]}.{parts[1]} = {parts[2]}"),
    _NAMES.map("[{}]".format),
    _NAMES.map("[[{}]]".format),
    st.just("# note"),
)


@given(st.lists(_LINES, max_size=8))
def test_any_toml_is_read_or_refused_by_a_config_error(lines: list[str]) -> None:
    Path("mexclab.toml").write_text("\n".join(lines))
    try:
        loaded = load_settings(environ={})
    except ConfigError:
        return
    assert isinstance(loaded.settings, Settings)

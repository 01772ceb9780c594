from mexclab.venues.accounts import Matcher as Matcher

//! Points in time as LTX headers hold them: milliseconds since 1970, written as RFC 3339 in UTC.
//!
//! The calendar is the proleptic Gregorian one, without leap seconds. Days are counted in eras of 400 years
//! (146,097 days) of years that begin in March, so that the leap day is the last of its year.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z; negative before.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `millis` milliseconds after the start of 1970.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since the start of 1970.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The year and month it lies in.
    pub fn year_and_month(self) -> (i64, i64) {
        let (year, month, _) = date_of(self.0.div_euclid(DAY_MS));
        (year, month)
    }

    /// Reads an RFC 3339 time of the years 0 to 9999, such as `2026-11-22T23:41:33.103Z` or
    /// `2026-11-23T01:41:33+02:00`. Of a fraction, up to nine digits, what is finer than a millisecond is cut off.
    ///
    /// # Errors
    /// [`TimestampError`] for any other text, also for days and times no calendar has and for leap seconds.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        let mut reader = Reader(text.as_bytes());
        let time = reader.time().ok_or(TimestampError)?;
        if reader.0.is_empty() {
            Ok(time)
        } else {
            Err(TimestampError)
        }
    }

    /// Reads what people write, besides RFC 3339: a date, which is its midnight, or a date and a time of day without
    /// seconds, with a space between them, or without an offset. All of it is UTC where no offset says otherwise.
    ///
    /// # Errors
    /// As [`Timestamp::parse`].
    pub fn parse_loosely(text: &str) -> Result<Timestamp, TimestampError> {
        let mut reader = Reader(text.as_bytes());
        let time = reader.loose_time().ok_or(TimestampError)?;
        match reader.0 {
            [] => Ok(time),
            _ => Err(TimestampError),
        }
    }
}

/// RFC 3339 in UTC with up to three digits of fraction, trailing zeros dropped. Years that RFC 3339 does not
/// have get a sign: `+10000-01-01T00:00:00Z`, `-0001-12-31T00:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0.div_euclid(DAY_MS));
        let in_day = self.0.rem_euclid(DAY_MS);
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            10_000.. => write!(f, "+{year}")?,
            _ => write!(f, "-{:04}", -year)?,
        }
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if milli != 0 {
            let digits = format!("{milli:03}");
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// A text that is no RFC 3339 time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimestampError;

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time in RFC 3339 form, such as 2000-01-01T00:00:00Z")
    }
}

impl std::error::Error for TimestampError {}

/// What is left to read; every method takes its part off the front, or gives none.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn time(&mut self) -> Option<Timestamp> {
        let days = self.days()?;
        self.one_of(b"Tt")?;
        let minutes = days * 1440 + self.minutes()?;
        let millis = self.seconds_ms()?;
        let offset = self.offset_minutes()?;
        Some(Timestamp((minutes - offset) * 60_000 + millis))
    }

    fn loose_time(&mut self) -> Option<Timestamp> {
        let mut minutes = self.days()? * 1440;
        let mut millis = 0;
        if self.one_of(b"Tt ").is_some() {
            minutes += self.minutes()?;
            if self.0.first() == Some(&b':') {
                millis = self.seconds_ms()?;
            }
            if !self.0.is_empty() {
                minutes -= self.offset_minutes()?;
            }
        }
        Some(Timestamp(minutes * 60_000 + millis))
    }

    /// A date, in days since 1970.
    fn days(&mut self) -> Option<i64> {
        let year = self.number(4)?;
        self.one_of(b"-")?;
        let month = self.number(2).filter(|month| (1..=12).contains(month))?;
        self.one_of(b"-")?;
        let day = self
            .number(2)
            .filter(|&day| (1..=days_in(year, month)).contains(&day))?;
        Some(days_of(year, month, day))
    }

    /// Hour and minute, in minutes.
    fn minutes(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|&hour| hour < 24)?;
        self.one_of(b":")?;
        let minute = self.number(2).filter(|&minute| minute < 60)?;
        Some(hour * 60 + minute)
    }

    /// Seconds behind a colon, and their fraction if they have one.
    fn seconds_ms(&mut self) -> Option<i64> {
        self.one_of(b":")?;
        let second = self.number(2).filter(|&second| second < 60)?;
        Some(second * 1000 + self.fraction_ms()?)
    }

    fn fraction_ms(&mut self) -> Option<i64> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let mut milli = self.number(digits.min(3))?;
        for _ in digits..3 {
            milli *= 10;
        }
        self.0 = &self.0[digits.saturating_sub(3)..];
        Some(milli)
    }

    fn offset_minutes(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.number(2).filter(|&hours| hours < 24)?;
        self.one_of(b":")?;
        let minutes = self.number(2).filter(|&minutes| minutes < 60)?;
        Some(sign * (hours * 60 + minutes))
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |value, byte| {
            byte.is_ascii_digit()
                .then(|| value * 10 + i64::from(byte - b'0'))
        })
    }

    fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if !set.contains(&first) {
            return None;
        }
        self.0 = rest;
        Some(first)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    // 153 days in every five months from March: 31, 30, 31, 30, 31.
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - DAYS_BEFORE_1970
}

/// The date so many days after 1970-01-01, as year, month and day.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    // Take out the leap days (every 4 years, not every 100, at the era's end) to count years of 365 days.
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

const DAY_MS: i64 = 86_400_000;
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01, where era 0 begins, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<i64> {
        Timestamp::parse(text).ok().map(Timestamp::millis)
    }

    #[test]
    fn known_times() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_390_893_103, "2026-11-22T23:41:33.103Z"),
            (1_795_390_893_980, "2026-11-22T23:41:33.98Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, text) in known {
            assert_eq!(Timestamp(millis).to_string(), text);
            assert_eq!(parse(text), Some(millis), "{text}");
        }
    }

    #[test]
    fn offsets_fractions_and_lower_case() {
        let same = Some(1_795_390_893_103);
        assert_eq!(parse("2026-11-23T01:41:33.103999999+02:00"), same);
        assert_eq!(parse("2026-11-22t14:11:33.1030-09:30"), same);
        assert_eq!(parse("1969-12-31T23:59:59.9999z"), Some(-1));
        assert_eq!(parse("1970-01-01T00:00:00.5-00:00"), Some(500));
        assert_eq!(
            parse("0000-01-01T00:00:00+01:00"),
            Some(-62_167_222_800_000)
        );
    }

    #[test]
    fn what_people_write() {
        let known = [
            ("2026-11-28", "2026-11-28T00:00:00Z"),
            ("2026-11-28 10:30", "2026-11-28T10:30:00Z"),
            ("2026-11-28 10:30:05", "2026-11-28T10:30:05Z"),
            ("2026-11-28T10:30:05.25", "2026-11-28T10:30:05.25Z"),
            ("2026-11-28 10:30+02:00", "2026-11-28T08:30:00Z"),
            ("2026-11-28 10:30:05Z", "2026-11-28T10:30:05Z"),
            ("2026-11-28T10:30:05+01:00", "2026-11-28T09:30:05Z"),
        ];
        for (text, expected) in known {
            let time = Timestamp::parse_loosely(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "2026",
            "2026-11",
            "2026-11-31",
            "2026-11-28 ",
            "2026-11-28 10",
            "2026-11-28 10:",
            "2026-11-28 10:30:",
            "2026-11-28 24:00",
            "2026-11-28  10:30",
            "2026-11-28 10:30 Z",
            "2026-11-28Z",
            "28.11.2026",
        ] {
            assert_eq!(Timestamp::parse_loosely(bad), Err(TimestampError), "{bad}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T23:41:33",
            "2026-11-22 23:41:33Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T23:60:00Z",
            "2026-11-22T23:59:60Z",
            "2026-11-22T23:41:33.Z",
            "2026-11-22T23:41:33.1234567890Z",
            "2026-11-22T23:41:33,5Z",
            "2026-11-22T23:41:33+24:00",
            "2026-11-22T23:41:33+0100",
            "2026-11-22T23:41:33Z ",
            "+2026-11-22T23:41:33Z",
            "２026-11-22T23:41:33Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn years_outside_rfc_3339_have_a_sign() {
        assert_eq!(
            Timestamp(253_402_300_800_000).to_string(),
            "+10000-01-01T00:00:00Z"
        );
        assert_eq!(
            Timestamp(-62_167_219_200_001).to_string(),
            "-0001-12-31T23:59:59.999Z"
        );
        assert_eq!(
            Timestamp(i64::MAX).to_string(),
            "+292278994-08-17T07:12:55.807Z"
        );
        assert_eq!(
            Timestamp(i64::MIN).to_string(),
            "-292275055-05-16T16:47:04.192Z"
        );
    }

    proptest! {
        #[test]
        fn what_is_displayed_reads_back(millis in -62_167_219_200_000i64..=253_402_300_799_999) {
            let text = Timestamp(millis).to_string();
            prop_assert_eq!(parse(&text), Some(millis));
            prop_assert_eq!(Timestamp::parse_loosely(&text), Ok(Timestamp(millis)));
        }

        #[test]
        fn no_time_panics(millis: i64) {
            let _ = Timestamp(millis).to_string();
        }

        #[test]
        fn no_text_panics(text in "[-0-9TZtz:.+é]{0,40}") {
            let _ = Timestamp::parse(&text);
            let _ = Timestamp::parse_loosely(&text);
        }
    }
}

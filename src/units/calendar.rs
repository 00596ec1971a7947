//! Periods of the calendar in UTC, and how many of each kind something is kept for.

use super::Timestamp;

/// A kind of period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Period {
    /// From minute 0 on.
    Hour,
    /// From midnight on.
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
    /// From January on.
    Year,
}

impl Period {
    /// Which one of its kind `time` lies in: numbers grow with time, and are the same within one.
    pub fn number(self, time: Timestamp) -> i64 {
        let hours = time.millis().div_euclid(3_600_000);
        let days = hours.div_euclid(24);
        let (year, month) = time.year_and_month();
        match self {
            Period::Hour => hours,
            Period::Day => days,
            // 1970 began on a Thursday.
            Period::Week => (days + 3).div_euclid(7),
            Period::Month => year * 12 + month,
            Period::Year => year,
        }
    }
}

/// For how many periods of each kind one of something is kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeepRules {
    /// Hours.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
}

impl KeepRules {
    /// Each kind with its number.
    pub fn each(self) -> [(Period, u32); 5] {
        [
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::Year, self.yearly),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        let cases = [
            (
                Period::Hour,
                "2026-03-01T10:59:59.999Z",
                "2026-03-01T11:00:00Z",
            ),
            (
                Period::Day,
                "2028-02-29T23:59:59.999Z",
                "2028-03-01T00:00:00Z",
            ),
            // A Sunday and a Monday.
            (
                Period::Week,
                "2026-11-29T23:59:59.999Z",
                "2026-11-30T00:00:00Z",
            ),
            (
                Period::Week,
                "1969-12-28T23:59:59.999Z",
                "1969-12-29T00:00:00Z",
            ),
            (
                Period::Month,
                "2026-12-31T23:59:59.999Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                Period::Year,
                "1969-12-31T23:59:59.999Z",
                "1970-01-01T00:00:00Z",
            ),
        ];
        for (period, last, first) in cases {
            let number = |text| period.number(Timestamp::parse(text).unwrap());
            assert_eq!(number(last) + 1, number(first), "{period:?} {first}");
        }
    }
}

//! Between which times of the day may something be done? By the clock on the wall of whoever types it.

use jiff::{Zoned, civil::Time};
use std::{fmt, str::FromStr};

/// From one time of the day to another, over midnight where the second is the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// When it is over, where it is open now.
    pub fn over(self, now: &Zoned) -> Option<Zoned> {
        let (time, over_midnight) = (now.time(), self.to < self.from);
        let tomorrow = match (time >= self.from, time < self.to) {
            (true, true) => false,
            (true, false) if over_midnight => true,
            (false, true) if over_midnight => false,
            _ => return None,
        };
        let day = if tomorrow { now.date().tomorrow().ok()? } else { now.date() };
        day.to_datetime(self.to).to_zoned(now.time_zone().clone()).ok()
    }
}

impl FromStr for Window {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no window: two times of the day, as in 22:00-05:00");
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
        let (from, to) = (time(from)?, time(to)?);
        if from == to { Err(wrong()) } else { Ok(Self { from, to }) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.strftime("%H:%M"), self.to.strftime("%H:%M"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it is over, at this time of the 23rd.
    fn over(window: &str, at: &str) -> Option<String> {
        let now: Zoned = format!("2026-11-23T{at}:00[Europe/London]").parse().unwrap();
        let over = window.parse::<Window>().unwrap().over(&now)?;
        Some(over.strftime("%d %H:%M").to_string())
    }

    #[test]
    fn a_window_ends_on_the_same_day_or_on_the_next() {
        assert_eq!(over("09:00-17:00", "09:00").as_deref(), Some("23 17:00"));
        assert_eq!(over("09:00-17:00", "17:00"), None);
        assert_eq!(over("09:00-17:00", "08:59"), None);
        assert_eq!(over("22:00-05:00", "23:30").as_deref(), Some("24 05:00"));
        assert_eq!(over("22:00-05:00", "04:59").as_deref(), Some("23 05:00"));
        assert_eq!(over("22:00-05:00", "05:00"), None);
        assert_eq!(over("22:00-05:00", "21:59"), None);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for nonsense in ["", "22:00", "22:00-", "22-5", "25:00-05:00", "22:00-22:00", "a-b"] {
            assert!(nonsense.parse::<Window>().is_err(), "{nonsense}");
        }
        assert_eq!("22:00-05:00".parse::<Window>().unwrap().to_string(), "22:00-05:00");
    }
}

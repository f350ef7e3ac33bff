//! JSON-RPC 2.0 on a stream without framing: a request is complete when its JSON value is.

use serde::Serialize;
use serde_json::{Deserializer, Value};

/// The most that a request may take.
const LONGEST_REQUEST: usize = 1 << 20;

/// What is wrong with a request, in the numbers of JSON-RPC 2.0 ("Error object").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    pub code: i32,
    pub message: &'static str,
}

/// Where the next request begins can no longer be told: the connection ends.
pub(super) const PARSE_ERROR: Fault = Fault { code: -32700, message: "Parse error" };
pub(super) const INVALID_REQUEST: Fault = Fault { code: -32600, message: "Invalid Request" };
pub(super) const METHOD_NOT_FOUND: Fault = Fault { code: -32601, message: "Method not found" };
pub(super) const INVALID_PARAMS: Fault = Fault { code: -32602, message: "Invalid parameters" };

/// A well-formed request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    pub method: String,
    /// Null, an array or an object.
    pub params: Value,
    /// A number or a string; without one no answer is wanted.
    pub id: Option<Value>,
}

/// Something that came in place of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// As in the request, as far as it had one; null otherwise.
    pub id: Value,
    pub fault: Fault,
}

/// What has arrived on a connection and was not understood yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pending: Vec<u8>,
}

impl Incoming {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next request, once it is there. After a parse error nothing sensible follows.
    pub(super) fn next(&mut self) -> Option<Result<Request, Refusal>> {
        // A number at the end may go on with what arrives next, so it is not looked at yet.
        let goes_on = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let tail = self.pending.iter().rev().take_while(|byte| goes_on(byte)).count();
        let ready = &self.pending[..self.pending.len() - tail];

        let mut values = Deserializer::from_slice(ready).into_iter::<Value>();
        let value = values.next();
        let used = values.byte_offset();
        match value {
            // Nothing but white space.
            None => {
                self.pending.drain(..used);
                None
            }
            // So may a literal; only brackets and quotes say where they end.
            Some(Ok(Value::Null | Value::Bool(_))) if used == self.pending.len() => None,
            Some(Ok(value)) => {
                self.pending.drain(..used);
                Some(understand(value))
            }
            Some(Err(error)) if error.is_eof() && self.pending.len() <= LONGEST_REQUEST => None,
            Some(Err(_)) => Some(Err(Refusal { id: Value::Null, fault: PARSE_ERROR })),
        }
    }
}

fn understand(value: Value) -> Result<Request, Refusal> {
    let refuse = |id| Err(Refusal { id, fault: INVALID_REQUEST });
    let Value::Object(mut members) = value else { return refuse(Value::Null) };
    let id = match members.remove("id") {
        // The original takes null for none.
        None | Some(Value::Null) => None,
        Some(id @ (Value::Number(_) | Value::String(_))) => Some(id),
        Some(_) => return refuse(Value::Null),
    };
    let version = members.remove("jsonrpc");
    let params = members.remove("params").unwrap_or(Value::Null);
    let method = members.remove("method");
    let good = version.is_none_or(|version| version == "2.0")
        && matches!(params, Value::Null | Value::Array(_) | Value::Object(_));
    match method {
        Some(Value::String(method)) if good => Ok(Request { method, params, id }),
        _ => refuse(id.unwrap_or(Value::Null)),
    }
}

/// An answer as it goes out: the members in the order clients know, and a line feed behind them.
pub(super) fn answer<T: Serialize>(id: &Value, result: Result<T, Fault>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a, T> {
        jsonrpc: &'static str,
        id: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<T>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Fault>,
    }
    let (result, error) = match result {
        Ok(result) => (Some(result), None),
        Err(fault) => (None, Some(fault)),
    };
    let answer = Answer { jsonrpc: "2.0", id, result, error };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    type Outcome = Result<Request, Refusal>;

    /// Everything up to and including the first parse error.
    fn feed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Outcome> {
        let (mut incoming, mut outcomes) = (Incoming::default(), Vec::new());
        for chunk in chunks {
            incoming.push(chunk);
            while let Some(outcome) = incoming.next() {
                let over = outcome.as_ref().is_err_and(|refusal| refusal.fault == PARSE_ERROR);
                outcomes.push(outcome);
                if over {
                    return outcomes;
                }
            }
        }
        outcomes
    }

    fn one(text: &str) -> Outcome {
        let mut outcomes = feed([text.as_bytes()]);
        assert_eq!(outcomes.len(), 1, "{text}: {outcomes:?}");
        outcomes.remove(0)
    }

    fn refusal(id: Value, fault: Fault) -> Outcome {
        Err(Refusal { id, fault })
    }

    #[test]
    fn requests_in_every_form() {
        for (text, params, id) in [
            (r#"{"jsonrpc":"2.0","method":"m","id":7}"#, json!(null), Some(json!(7))),
            (r#"{"jsonrpc":"2.0","method":"m","params":null,"id":"a"}"#, json!(null), Some(json!("a"))),
            (r#"{"id":-1,"params":[1],"method":"m"}"#, json!([1]), Some(json!(-1))),
            (r#" { "method" : "m", "params" : {"a":[{}]}, "more":1 } "#, json!({"a": [{}]}), None),
            (r#"{"jsonrpc":"2.0","method":"m","id":null}"#, json!(null), None),
        ] {
            assert_eq!(one(text), Ok(Request { method: "m".to_owned(), params, id }), "{text}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_and_the_connection_goes_on() {
        for (text, id) in [
            ("[]", json!(null)),
            (r#"[{"jsonrpc":"2.0","method":"m","id":1}]"#, json!(null)),
            (r#""text""#, json!(null)),
            ("1 ", json!(null)),
            ("true\n", json!(null)),
            ("{}", json!(null)),
            (r#"{"jsonrpc":"2.0","id":1}"#, json!(1)),
            (r#"{"jsonrpc":"1.0","method":"m","id":1}"#, json!(1)),
            (r#"{"jsonrpc":2.0,"method":"m","id":1}"#, json!(1)),
            (r#"{"jsonrpc":"2.0","method":5,"id":"x"}"#, json!("x")),
            (r#"{"jsonrpc":"2.0","method":"m","params":5,"id":1}"#, json!(1)),
            (r#"{"jsonrpc":"2.0","method":"m","id":[1]}"#, json!(null)),
        ] {
            assert_eq!(one(text), refusal(id, INVALID_REQUEST), "{text}");
        }
        let outcomes = feed([br#"{} {"method":"m","id":1}"#.as_slice()]);
        assert!(outcomes[0].is_err() && outcomes[1].is_ok(), "{outcomes:?}");
    }

    #[test]
    fn what_is_no_json_is_a_parse_error_at_once() {
        for text in ["nonsense", "{bad json}", "{]", "}", "{\"a\":}", "01 ", "\u{0}", "{\"a\" \"b\"", "nulls"]
        {
            assert_eq!(one(text), refusal(Value::Null, PARSE_ERROR), "{text}");
        }
        assert_eq!(feed([b"{\"\xff\":1}".as_slice()]), [refusal(Value::Null, PARSE_ERROR)]);
        assert_eq!(one(&"[".repeat(1000)), refusal(Value::Null, PARSE_ERROR), "too deep");
    }

    #[test]
    fn half_a_request_is_none() {
        for text in
            ["", " \n", "{", r#"{"method":"m"#, r#"{"method":"m","id":1"#, "1", "nul", "null", "tru", "\""]
        {
            assert_eq!(feed([text.as_bytes()]), [], "{text}");
        }
    }

    #[test]
    fn a_request_without_an_end_is_given_up() {
        let mut incoming = Incoming::default();
        incoming.push(br#"{"method":""#);
        for _ in 0..LONGEST_REQUEST / 65536 - 1 {
            incoming.push(&[b'a'; 65536]);
            assert_eq!(incoming.next(), None);
        }
        incoming.push(&[b'a'; 65536]);
        assert_eq!(incoming.next(), Some(refusal(Value::Null, PARSE_ERROR)));
    }

    #[test]
    fn answers_byte_for_byte() {
        let text = |id, result: Result<Value, Fault>| String::from_utf8(answer(&id, result)).unwrap();
        assert_eq!(text(json!(1), Ok(json!([]))), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}\n");
        assert_eq!(
            text(json!("a\"b"), Err(METHOD_NOT_FOUND)),
            "{\"jsonrpc\":\"2.0\",\"id\":\"a\\\"b\",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n"
        );
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(
                    prop_oneof![Just("id".to_owned()), Just("method".to_owned()), "\\PC{0,6}"],
                    inner,
                    0..4
                )
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The bytes in chunks as the cuts have it.
    fn cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
        let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            values in prop::collection::vec(json_value(), 0..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut bytes = Vec::new();
            for value in &values {
                bytes.extend(value.to_string().into_bytes());
                bytes.push(b' ');
            }
            let whole = feed([bytes.as_slice()]);
            prop_assert_eq!(whole.len(), values.len());
            let chunks = cut(&bytes, &cuts);
            prop_assert_eq!(&feed(chunks.iter().map(Vec::as_slice)), &whole);
            prop_assert_eq!(&feed(bytes.chunks(1)), &whole);
        }

        #[test]
        fn garbage_neither_panics_nor_depends_on_chunks(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[{}\\[\\]\",:0-9eE.+ntrufalse \\\\-]{0,60}".prop_map(String::into_bytes),
            ],
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = feed([bytes.as_slice()]);
            let chunks = cut(&bytes, &cuts);
            prop_assert_eq!(&feed(chunks.iter().map(Vec::as_slice)), &whole);
            prop_assert_eq!(&feed(bytes.chunks(1)), &whole);
        }

        #[test]
        fn a_request_comes_back_as_it_was_meant(method in "\\PC{0,20}", number: i64, id: i64) {
            let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": [number]}).to_string();
            let request = Request { method, params: json!([number]), id: Some(json!(id)) };
            prop_assert_eq!(feed([text.as_bytes()]), [Ok(request)]);
        }
    }
}

//! Challenges: what a registry that answers 401 wants.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1>
//! and <https://distribution.github.io/distribution/spec/auth/token/>
//!
//! ```text
//! WWW-Authenticate: Bearer realm="https://host/token",service="host",scope="repository:a/b:pull"
//! WWW-Authenticate: Basic realm="words", Negotiate
//! ```

/// How a registry wants to be told who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Challenge {
    /// A user name and password with each request.
    Basic,
    /// A token, fetched from a server beforehand.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// What the registry calls itself there.
        service: Option<String>,
        /// What the token must allow.
        scope: Option<String>,
    },
}

/// How many parameters of a challenge are kept; the known schemes have up to five.
const MAX_PARAMETERS: usize = 16;

/// Reads the challenges of a header; those of unknown schemes and malformed ones are left out.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut challenges = Vec::new();
    let mut scheme = String::new();
    let mut parameters = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        match value.and_then(|value| text(value)) {
            Some((value, after)) => {
                if parameters.len() < MAX_PARAMETERS {
                    parameters.push((word.to_ascii_lowercase(), value));
                }
                rest = after;
            }
            None if value.is_some() => break,
            None => {
                challenges.extend(challenge(&scheme, &mut parameters));
                scheme = word.to_ascii_lowercase();
                rest = after;
            }
        }
    }
    challenges.extend(challenge(&scheme, &mut parameters));
    challenges
}

fn challenge(scheme: &str, parameters: &mut Vec<(String, String)>) -> Option<Challenge> {
    let parameters = std::mem::take(parameters);
    let parameter = |name: &str| {
        let found = parameters.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }),
        _ => None,
    }
}

/// A token of RFC 9110 at the beginning, and what follows it.
fn token(text: &str) -> (&str, &str) {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !inner(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The value of a parameter, quoted or not, and what follows it.
fn text(value: &str) -> Option<(String, &str)> {
    let Some(quoted) = value.strip_prefix('"') else {
        // Some registries leave out the quotes around URLs, which are no tokens.
        let end = value.find([',', ' ', '\t', '"']).unwrap_or(value.len());
        let (value, rest) = value.split_at_checked(end)?;
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges() {
        let full = bearer("https://a/t", Some("s"), Some("repository:a/b:pull,push"));
        for (header, expected) in [
            ("Basic", vec![Challenge::Basic]),
            ("basic realm=\"a, b\"", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push""#,
                vec![full.clone()],
            ),
            (
                r#"BEARER Realm = "https://a/t" , SERVICE=s, scope="repository:a/b:pull,push""#,
                vec![full.clone()],
            ),
            (
                "Bearer realm=https://a/t?x=1,service=s",
                vec![bearer("https://a/t?x=1", Some("s"), None)],
            ),
            (
                r#"Negotiate, Basic realm="x", Bearer realm="https://a/t""#,
                vec![Challenge::Basic, bearer("https://a/t", None, None)],
            ),
            (r#"Bearer realm="a\"b\\c""#, vec![bearer(r#"a"b\c"#, None, None)]),
            (r#"Bearer realm="u",scope="""#, vec![bearer("u", None, None)]),
            // A realm that is missing, empty or never ends is of no use.
            ("Bearer", vec![]),
            ("Bearer service=\"s\"", vec![]),
            ("Bearer realm=\"\"", vec![]),
            ("Bearer realm=\"https://a", vec![]),
            ("Bearer realm=\"a\\", vec![]),
            ("Negotiate YII==", vec![]),
            ("", vec![]),
            (",,, ,", vec![]),
            ("=", vec![]),
            ("\u{e9}", vec![]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(header in ".{0,200}") {
            parse(&header);
        }

        #[test]
        fn structure_never_panics(header in r#"((Bearer|Basic|realm|[="\\, a])){0,60}"#) {
            parse(&header);
        }
    }
}

//! `Link`: where the next page of a list is.
//!
//! <https://www.rfc-editor.org/rfc/rfc8288#section-3>

/// The target of the first link of a `Link` header whose relation is `next`.
pub(super) fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let (parameters, following) = match end(after) {
            Some(end) => after.split_at_checked(end)?,
            None => (after, ""),
        };
        if parameters.split(';').any(is_next) {
            return Some(target.trim());
        }
        rest = following;
    }
}

/// Where the parameters of a link end: at a comma that no quotes enclose.
fn end(parameters: &str) -> Option<usize> {
    let mut quoted = false;
    parameters.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    })
}

fn is_next(parameter: &str) -> bool {
    let Some((key, value)) = parameter.split_once('=') else { return false };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    key.trim().eq_ignore_ascii_case("rel") && relations.any(|it| it.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links() {
        for (header, expected) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Some("/v2/a/tags/list?n=2&last=b")),
            ("<https://h/x>;rel=next", Some("https://h/x")),
            (r#"<a>; rel="prev", <b>; title="x, y"; REL="last Next""#, Some("b")),
            (r#"<?last=a,b>; rel="next""#, Some("?last=a,b")),
            (r#"<a>; rel="prev""#, None),
            (r#"<a>; title="rel=next""#, None),
            ("<a>", None),
            ("<a", None),
            ("rel=next", None),
            ("", None),
        ] {
            assert_eq!(next(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(header in r#"([<>;,="a]|rel|next|é){0,40}"#) {
            next(&header);
        }
    }
}

//! Files that are meant to do harm.

use super::super::Config;
use super::V2;

#[test]
fn limits() {
    let laughs: String =
        (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{}, ", n - 1).repeat(9))).collect();
    let chain: String = (1..40).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)).collect();
    for (text, expected) in [
        (" ".repeat((1 << 20) + 1), "more than 1048576 are not read"),
        (format!("a0: &a0 [x]\n{laughs}"), "more than 100000 values"),
        (format!("a0: &a0 [x]\n{chain}"), "more than 32 deep"),
        ("[".repeat(1000), "not YAML"),
        ("- ".repeat(1000), "not YAML"),
        ("a: &a [*a]\n".to_owned(), "this alias is part of what it names"),
        ("a: *b\n".to_owned(), "not YAML"),
        ("a: 1\nb: 2\na: 3\n".to_owned(), "\"a\" is here twice, first at line 1, column 1"),
        ("a: 1\n---\nb: 2\n".to_owned(), "second document"),
        ("a: !thing 1\n".to_owned(), "the tag \"!thing\" is not known"),
        ("? [a]\n: 1\n".to_owned(), "a key must be a word"),
        ("<<: 1\n".to_owned(), "`<<` needs a mapping"),
        ("a: \"\n".to_owned(), "not YAML"),
        ((0..1001).map(|n| format!("k{n}: 1\n")).collect(), "more than 1000 keys"),
    ] {
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {text:.40}");
    }
}

#[test]
fn many_problems_are_not_all_told() {
    let body: String = (0..500).map(|n| format!("x{n}: 1\n")).collect();
    let error = Config::parse(&format!("{V2}mirror: {{}}\n{body}")).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    assert!(error.to_string().starts_with("100 problems at least:\n"), "{error}");
}

#[test]
fn what_the_file_says_cannot_take_over_the_terminal() {
    let key = format!("\"\\e[31m{}\"", "x".repeat(1000));
    let error = Config::parse(&format!("{V2}mirror: {{}}\n{key}: 1\n")).unwrap_err().to_string();
    assert!(error.contains("\\u{1b}[31mxxx") && error.contains("…: unknown field"), "{error}");
    assert!(!error.contains(char::is_control) && error.len() < 500, "{error}");
}

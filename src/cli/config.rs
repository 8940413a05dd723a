//! The configuration file: values for flags that were not given otherwise.
//!
//! A key is a flag's long name. Common flags stand at the top, those of a command
//! in its table. The values become clap's defaults, so that there is one parser
//! and one order: command line, environment, file, built-in default.
//!
//! ```toml
//! log-format = "json"
//! [serve]
//! listen = "0.0.0.0:5000"
//! paths = ["/srv/bundles"]
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// A configuration file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    table: Table,
}

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read the configuration file {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML.
    #[error("cannot read the configuration file {path:?} as TOML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It sets something that does not exist.
    #[error("unknown {what} {key:?} in the configuration file {path:?}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Whether it should be a table or a key, and of which table.
        what: String,
        /// What the file says.
        key: String,
        /// The known word that is nearest to it.
        nearest: Option<String>,
    },
    /// It sets something to a value that cannot be.
    #[error("unfit value of {key:?} in the configuration file {path:?}: {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, after its table.
        key: String,
        /// What would be fit.
        reason: String,
    },
}

/// A key that the file sets: of which command, by which argument, to what.
struct Setting<'a> {
    command: Option<&'a str>,
    argument: String,
    values: Vec<String>,
}

impl File {
    /// Finds the file that applies: `$SHIPPERD_CONFIG`, else the user's, else the machine's.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read, or the one asked for is absent.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, Error> {
        let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = variable("SHIPPERD_CONFIG") {
            return Self::read(&path).map(Some);
        }
        let user = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
        for directory in user.into_iter().chain([PathBuf::from("/etc")]) {
            let path = directory.join("shipperd/config.toml");
            match Self::read(&path) {
                Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                file => return file.map(Some),
            }
        }
        Ok(None)
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, Error> {
        match text.parse() {
            Ok(table) => Ok(Self { path, table }),
            Err(source) => Err(Error::Syntax { path, source: Box::new(source) }),
        }
    }

    /// Gives the command the values of this file as its defaults.
    ///
    /// # Errors
    ///
    /// When the file sets something that the command does not know, or to an unfit value.
    pub fn apply(&self, command: Command) -> Result<Command, Error> {
        Ok(self.settings(&command)?.into_iter().fold(command, |command, setting| {
            let set = |argument: Arg| argument.default_values(setting.values.clone());
            match setting.command {
                Some(name) => {
                    command.mut_subcommand(name, |sub| sub.mut_arg(&setting.argument, set))
                }
                None => command.mut_arg(&setting.argument, set),
            }
        }))
    }

    fn settings(&self, command: &Command) -> Result<Vec<Setting<'_>>, Error> {
        let mut settings = Vec::new();
        for (name, value) in &self.table {
            let Value::Table(table) = value else {
                settings.push(self.setting(command, None, name, value)?);
                continue;
            };
            let Some(sub) = command.find_subcommand(name) else {
                let known = command.get_subcommands().map(Command::get_name);
                return Err(self.unknown("table".into(), name, known));
            };
            for (key, value) in table {
                settings.push(self.setting(sub, Some(name), key, value)?);
            }
        }
        Ok(settings)
    }

    fn setting<'a>(
        &self,
        command: &Command,
        table: Option<&'a str>,
        key: &str,
        value: &Value,
    ) -> Result<Setting<'a>, Error> {
        let known = || command.get_arguments().filter_map(|arg| Some((key_of(arg)?, arg)));
        let Some((_, argument)) = known().find(|(name, _)| *name == key) else {
            let what = table.map_or_else(|| "key".into(), |table| format!("key of [{table}]"));
            return Err(self.unknown(what, key, known().map(|(name, _)| name)));
        };
        let values = words(argument, value).and_then(|values| try_out(argument, values));
        match values {
            Ok(values) => {
                Ok(Setting { command: table, argument: argument.get_id().to_string(), values })
            }
            Err(reason) => {
                let key = table.map_or_else(|| key.into(), |table| format!("{table}.{key}"));
                Err(Error::Value { path: self.path.clone(), key, reason })
            }
        }
    }

    fn unknown<'a>(&self, what: String, key: &str, known: impl Iterator<Item = &'a str>) -> Error {
        let nearest = known
            .map(|word| (strsim::jaro_winkler(key, word), word))
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, word)| word.to_owned());
        Error::Unknown { path: self.path.clone(), what, key: key.to_owned(), nearest }
    }
}

/// The key that sets an argument: its long name, or the name of an optional list of operands.
fn key_of(argument: &Arg) -> Option<&str> {
    match argument.get_long() {
        Some(long) => Some(long),
        None if argument.is_required_set() => None,
        None => Some(argument.get_id().as_str()),
    }
}

/// The words that a value would be on the command line.
fn words(argument: &Arg, value: &Value) -> Result<Vec<String>, String> {
    match (argument.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(value)) => Ok(vec![value.to_string()]),
        (ArgAction::SetTrue, _) => Err("needs true or false".into()),
        (ArgAction::Count, value) => match value.as_integer().map(u8::try_from) {
            Some(Ok(count)) => Ok(vec![count.to_string()]),
            _ => Err("needs a small number".into()),
        },
        (ArgAction::Append, Value::Array(values)) => values.iter().map(word).collect(),
        (_, value) => Ok(vec![word(value)?]),
    }
}

fn word(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Array(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Float(_)
        | Value::Table(_) => Err(format!("needs a string, not {}", value.type_str())),
    }
}

/// Lets clap read the words: a default that it cannot read would be a fault of the program.
fn try_out(argument: &Arg, words: Vec<String>) -> Result<Vec<String>, String> {
    if matches!(argument.get_action(), ArgAction::SetTrue | ArgAction::Count) {
        return Ok(words);
    }
    let line = words.iter().map(|word| match argument.get_long() {
        Some(long) => format!("--{long}={word}"),
        None => word.clone(),
    });
    let alone = Command::new("").no_binary_name(true).disable_help_flag(true).arg(argument);
    match alone.try_get_matches_from(line) {
        Ok(_) => Ok(words),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            Err(first.trim_start_matches("error: ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("program")
            .arg(Arg::new("quiet").long("quiet").action(ArgAction::SetTrue).global(true))
            .subcommand(
                Command::new("serve")
                    .arg(Arg::new("paths").action(ArgAction::Append).default_value("bundles"))
                    .arg(Arg::new("listen").long("listen").default_value("127.0.0.1:5000"))
                    .arg(
                        Arg::new("parallel")
                            .long("parallel")
                            .value_parser(clap::value_parser!(u16).range(1..)),
                    ),
            )
    }

    fn file(text: &str) -> Result<File, Error> {
        File::parse("c.toml".into(), text)
    }

    #[test]
    fn values_are_defaults() {
        let text =
            "quiet = true\n[serve]\nlisten = \"[::]:80\"\nparallel = 3\npaths = [\"a\", \"b\"]";
        let command = file(text).unwrap().apply(command()).unwrap();
        let matches = command.clone().get_matches_from(["program", "serve", "--parallel", "9"]);
        let serve = matches.subcommand_matches("serve").unwrap();
        assert!(serve.get_flag("quiet"));
        assert_eq!(serve.get_one::<String>("listen").unwrap(), "[::]:80");
        assert_eq!(*serve.get_one::<u16>("parallel").unwrap(), 9);
        let paths: Vec<&String> = serve.get_many("paths").unwrap().collect();
        assert_eq!(paths, ["a", "b"]);
        let matches = command.get_matches_from(["program", "serve", "c"]);
        let serve = matches.subcommand_matches("serve").unwrap();
        assert_eq!(serve.get_many::<String>("paths").unwrap().len(), 1);
    }

    #[test]
    fn the_nearest_known_word_is_named() {
        for (text, message, nearest) in [
            (
                "[serve]\nlistn = \"x\"",
                r#"unknown key of [serve] "listn" in the configuration file "c.toml""#,
                "listen",
            ),
            ("quite = true", r#"unknown key "quite" in the configuration file "c.toml""#, "quiet"),
            ("[sevre]", r#"unknown table "sevre" in the configuration file "c.toml""#, "serve"),
        ] {
            let error = file(text).unwrap().apply(command()).unwrap_err();
            assert_eq!(error.to_string(), message);
            let Error::Unknown { nearest: Some(found), .. } = error else { panic!("{error:?}") };
            assert_eq!(found, nearest);
        }
    }

    #[test]
    fn unfit_values_are_refused() {
        for (text, reason) in [
            (
                "quiet = \"yes\"",
                r#"unfit value of "quiet" in the configuration file "c.toml": needs true or false"#,
            ),
            (
                "[serve]\nparallel = 0",
                "unfit value of \"serve.parallel\" in the configuration file \"c.toml\": \
                 invalid value '0' for '--parallel <parallel>': 0 is not in 1..=65535",
            ),
            (
                "[serve]\nlisten = 1.5",
                "unfit value of \"serve.listen\" in the configuration file \"c.toml\": \
                 needs a string, not float",
            ),
        ] {
            let error = file(text).unwrap().apply(command()).unwrap_err();
            assert_eq!(error.to_string(), reason);
        }
        assert!(matches!(file("[serve"), Err(Error::Syntax { .. })));
    }

    #[test]
    fn the_file_asked_for_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent.toml");
        let find = |variable: &'static str, path: &Path| {
            let path = path.as_os_str().to_owned();
            File::find(move |name| (name == variable).then(|| path.clone()))
        };
        assert!(matches!(find("SHIPPERD_CONFIG", &absent), Err(Error::Read { .. })));
        fs::create_dir(directory.path().join("shipperd")).unwrap();
        fs::write(directory.path().join("shipperd/config.toml"), "quiet = true").unwrap();
        let found = find("XDG_CONFIG_HOME", directory.path()).unwrap().unwrap();
        assert_eq!(found.path, directory.path().join("shipperd/config.toml"));
    }
}

//! The command line: arguments to a value, the value to a command, its outcome to an exit code.
//!
//! A command is a file here, with its arguments and its `run`. Every flag is also a variable
//! `SHIPPERD_<FLAG>` and a key of the configuration file.

pub mod config;
mod convert;
pub mod logging;
pub mod printer;
pub mod progress;
pub mod report;
mod hint;
mod bundles;
mod timeline;
mod union;
mod signals;
mod state_dir;
mod reach;
mod place;
mod serve;
mod create;
mod state;
mod inspect;
mod verify;
mod extract;
mod trust;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Runtime;

use printer::{Printer, Talk};
use report::Report;

/// How the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExitStatus {
    /// The command did what it was asked to.
    Done,
    /// It ran, and the answer is no: damage was found, a sequence refused, an image failed.
    No,
    /// It could not run.
    Failed,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Done => 0,
            ExitStatus::No => 1,
            ExitStatus::Failed => 2,
        })
    }
}

/// A read-only OCI registry that serves image bundles where they lie, and makes them
///
/// Every option can also be given as a variable of the environment, `SHIPPERD_<OPTION>`, or in a
/// configuration file: $SHIPPERD_CONFIG, else $XDG_CONFIG_HOME/shipperd/config.toml, else
/// /etc/shipperd/config.toml. There a key is an option's long name; common options stand at the
/// top, those of a command in a table of its name. The command line comes before the environment,
/// the environment before the file.
///
/// Exit status: 0 done; 1 the answer is no (damage found, a sequence refused, some images failed);
/// 2 could not run.
#[derive(Debug, Parser)]
#[command(name = "shipperd", version, max_term_width = 100, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Say nothing but errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say and log more; repeat it for more still
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Answer with one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Colour what is printed
    ///
    /// `auto` colours on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// Log on stderr for people or for programs
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    log_format: logging::Format,
    /// Log what this filter lets through, such as `warn,shipperd::server=debug`
    ///
    /// The default follows --quiet and --verbose: `warn,shipperd=info`, and a step more for each
    /// --verbose.
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    Create(create::Arguments),
    Convert(convert::Arguments),
    State(state::Arguments),
    Inspect(inspect::Arguments),
    Verify(verify::Arguments),
    Extract(extract::Arguments),
    Trust(trust::Arguments),
}

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let parsed = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            return fail(&Printer::new(Talk::Normal, false, ColorChoice::Auto), &error);
        }
    };
    let Arguments { common, command } = parsed;
    let talk = match (common.quiet, common.verbose) {
        (true, _) => Talk::Quiet,
        (false, 0) => Talk::Normal,
        (false, _) => Talk::Verbose,
    };
    let printer = Printer::new(talk, common.json, common.color);
    let filter = logging::filter(common.quiet, common.verbose);
    let filter = common.log.as_deref().unwrap_or(filter);
    logging::start(&printer, common.log_format, filter)
        .map_err(Into::into)
        .and_then(|()| command.run(&printer))
        .unwrap_or_else(|error| fail(&printer, &error))
}

impl Command {
    fn run(&self, printer: &Printer) -> anyhow::Result<ExitStatus> {
        match self {
            Self::Serve(arguments) => serve::run(arguments, printer),
            Self::Create(arguments) => create::run(arguments, printer),
            Self::Convert(arguments) => convert::run(arguments, printer),
            Self::State(arguments) => state::run(arguments, printer),
            Self::Inspect(arguments) => inspect::run(arguments, printer),
            Self::Verify(arguments) => verify::run(arguments, printer),
            Self::Extract(arguments) => extract::run(arguments, printer),
            Self::Trust(arguments) => trust::run(arguments, printer),
        }
    }
}

/// The threads of a command that waits for many things at a time.
fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start threads")
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<Arguments> {
    let mut command = command();
    if let Some(file) = config::File::find(|name| std::env::var_os(name))? {
        command = file.apply(command)?;
    }
    let matches = command.try_get_matches_from(arguments)?;
    Ok(Arguments::from_arg_matches(&matches)?)
}

/// The arguments, each flag with its variable of the environment.
fn command() -> clap::Command {
    let with_variable = |argument: clap::Arg| {
        let Some(long) = argument.get_long().filter(|_| argument.get_env().is_none()) else {
            return argument;
        };
        let variable = format!("SHIPPERD_{}", long.to_uppercase().replace('-', "_"));
        let argument = match argument.get_action() {
            ArgAction::SetTrue => argument.value_parser(BoolishValueParser::new()),
            _ => argument,
        };
        argument.env(variable).hide_env_values(true)
    };
    let command = Arguments::command().mut_args(with_variable);
    command.mut_subcommands(|command| {
        let command = command.mut_args(with_variable);
        command.mut_subcommands(|command| command.mut_args(with_variable))
    })
}

fn fail(printer: &Printer, error: &anyhow::Error) -> ExitStatus {
    if let Some(answer) = error.downcast_ref::<clap::Error>() {
        return match printer.usage(answer) {
            _ if answer.use_stderr() => ExitStatus::Failed,
            Ok(()) | Err(printer::Error::Closed) => ExitStatus::Done,
            Err(error) => fail(printer, &error.into()),
        };
    }
    // A reader that has enough, as `head` does, is served well.
    if let Some(printer::Error::Closed) = error.downcast_ref() {
        return ExitStatus::Done;
    }
    printer.report(&Report::of(error));
    ExitStatus::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable_of_its_own_name() {
        let command = command();
        let subs = command.get_subcommands();
        let actions = command.get_subcommands().flat_map(clap::Command::get_subcommands);
        for sub in subs.chain(actions).chain([&command]) {
            for argument in sub.get_arguments() {
                assert_eq!(argument.get_long().is_some(), argument.get_env().is_some());
            }
        }
        let color = command.get_arguments().find(|argument| argument.get_long() == Some("color"));
        assert_eq!(color.unwrap().get_env().unwrap(), "SHIPPERD_COLOR");
    }
}

//! The log: on stderr, as text or as JSON, one line an event.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::printer::Printer;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: an object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter asked for is not one.
    #[error("cannot read the log filter {filter:?}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
}

/// Sends the events that `filter` lets through to stderr.
///
/// The first call of a process counts.
///
/// # Errors
///
/// When the filter is not one.
pub fn start(printer: &Printer, format: Format, filter: &str) -> Result<(), Error> {
    let fault = |source| Error::Filter { filter: filter.to_owned(), source };
    let filter = EnvFilter::builder().parse(filter).map_err(fault)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(printer.clone())
        .with_ansi(printer.colours_talk());
    let started = match format {
        Format::Text => tracing::subscriber::set_global_default(log.with_target(false).finish()),
        Format::Json => {
            tracing::subscriber::set_global_default(log.json().flatten_event(true).finish())
        }
    };
    // A second start in a process, as tests do it, keeps the first log.
    drop(started);
    Ok(())
}

/// What is logged when no filter is given: a step more for every `--verbose`.
#[must_use]
pub fn filter(quiet: bool, verbose: u8) -> &'static str {
    match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn,shipperd=info",
        (false, 1) => "info,shipperd=debug",
        (false, 2) => "debug,shipperd=trace",
        (false, _) => "trace",
    }
}

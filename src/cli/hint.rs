//! What a person can do about an error.

use std::error::Error;
use std::io;
use std::io::ErrorKind;

use super::config;
use crate::bundle::squashfs::{layout, writer};
use crate::client;
use crate::create;
use crate::plan::image;
use crate::source;
use crate::state::{self, DocumentError, S3Problem};

/// A failure of a command's own, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Advised {
    /// What was attempted, on which object, and why it failed.
    pub(super) message: String,
    /// A full instruction.
    pub(super) hint: String,
}

/// What to do about one link of a chain, if there is something to say.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return system(error.kind()).map(Into::into);
    }
    if let Some(Advised { hint, .. }) = error.downcast_ref() {
        return Some(hint.clone());
    }
    if let Some(config::Error::Unknown { nearest: Some(nearest), .. }) = error.downcast_ref() {
        return Some(format!("the nearest known word is `{nearest}`"));
    }
    if let Some(error) = error.downcast_ref() {
        return creation(error).map(Into::into);
    }
    if let Some(error) = error.downcast_ref() {
        return resolution(error);
    }
    if let Some(error) = error.downcast_ref() {
        return access(error);
    }
    if let Some(error) = error.downcast_ref() {
        return state(error).map(Into::into);
    }
    if let Some(error) = error.downcast_ref() {
        return object_storage(error).map(Into::into);
    }
    error.downcast_ref().and_then(registry)
}

/// What to do about an image that is not to be had.
fn resolution(error: &create::Unresolved) -> Option<String> {
    match error {
        create::Unresolved::NotThere(_) => {
            Some("`shipperd inspect` lists the references that a file holds".to_owned())
        }
        // These stand for their source, and give it to nobody.
        create::Unresolved::Image(image::Error::Source(error)) => access(error),
        _ => None,
    }
}

/// What to do about a registry that does not let everybody in.
fn access(error: &source::Error) -> Option<String> {
    match error {
        source::Error::Unauthorized(name) => {
            let registry = name.registry.as_ref()?;
            Some(format!("log in with `podman login {registry}`, or name a file with `--authfile`"))
        }
        source::Error::Denied(name) => {
            let registry = name.registry.as_ref()?;
            Some(format!("log in as somebody who may do that: `podman login {registry}`"))
        }
        _ => None,
    }
}

/// What to do about a bundle that was not made.
fn creation(error: &create::Error) -> Option<&'static str> {
    match error {
        create::Error::Exists(_) => {
            Some("choose another `--name` or `--output`, or move the bundle that is there away")
        }
        create::Error::Full { .. } => {
            Some("make room on that file system, choose another with `--output`, or carry less")
        }
        create::Error::TooLarge { .. } => Some("allow larger files with `--archive-size`"),
        create::Error::Since { .. } => {
            Some("`shipperd state show` lists the sequences; `--full` begins again from 1")
        }
        create::Error::Copy { kept: true, .. } => {
            Some("what was fetched is kept: run the same command again to go on")
        }
        create::Error::Moved(_) => Some("run the same command again: it takes what is there now"),
        create::Error::Write(writer::Error::Full { .. }) => {
            Some("make room on that file system or choose another with `--output`")
        }
        create::Error::Write(writer::Error::Busy { .. }) => {
            Some("wait until the other process has ended, or choose another `--output`")
        }
        create::Error::Layout(layout::Error::Size { .. } | layout::Error::Tables { .. }) => {
            Some("split it into several files with `--archive-size`")
        }
        create::Error::Index { .. } => Some("make several imagesets of it, each with its `--name`"),
        _ => None,
    }
}

/// What to do about a registry that gives no answer or none that can be used.
fn registry(error: &client::Error) -> Option<String> {
    match error {
        client::Error::Untrusted { host, .. } => Some(format!(
            "put the certificate of the authority that signed for {host} into \
             /etc/containers/certs.d/{host}/ca.crt, or take any with `--tls-skip-verify {host}`"
        )),
        client::Error::NoTls { host, .. } => {
            Some(format!("if {host} speaks plain HTTP only, allow it: `--plain-http {host}`"))
        }
        client::Error::PlainHttp { host } => Some(format!("allow it: `--plain-http {host}`")),
        client::Error::Unauthorized { host, .. } => {
            Some(format!("log in with `podman login {host}`, or name a file with `--authfile`"))
        }
        _ => None,
    }
}

/// What to do about a state that cannot be used or changed.
fn state(error: &state::Error) -> Option<&'static str> {
    Some(match error {
        state::Error::Damaged { source: DocumentError::Newer { .. }, .. } => {
            "use the shipperd that wrote it, or a newer one"
        }
        state::Error::Damaged { .. } => {
            "make it again of the bundles: `shipperd state import BUNDLE…`"
        }
        state::Error::Foreign { .. } => {
            "name another imageset with `--name`, or another place with `--state`"
        }
        state::Error::Conflict { .. } => {
            "run it again: it then begins with what is there now, see `shipperd state show`"
        }
        state::Error::Locked { .. } => "wait until the other process has ended",
        _ => return None,
    })
}

/// What to do about object storage that does not do what it should.
fn object_storage(error: &S3Problem) -> Option<&'static str> {
    Some(match error {
        S3Problem::PlainHttp(_) => {
            "set `AWS_ENDPOINT_URL` to an https URL, or allow it with `AWS_ALLOW_HTTP=true`"
        }
        S3Problem::NoBucket => "make the bucket first, or name another with `--state`",
        S3Problem::Refused(_) => {
            "look at `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and \
             `AWS_REGION`, and at what the key may do in that bucket"
        }
        _ => return None,
    })
}

/// What to do about an error of the operating system.
fn system(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::AddrInUse => {
            "another process listens there: choose another address with `--listen`, \
             or find the process with `ss -ltnp`"
        }
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: list them with `ip address`, \
             or listen on all with `--listen 0.0.0.0:5000`"
        }
        ErrorKind::NotFound => "check the path; a relative one starts at the working directory",
        ErrorKind::PermissionDenied => {
            "the user that runs shipperd needs the permission: see `ls -l`, `id`, \
             and in a container the owner and label of the volume"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on that file system or choose another directory"
        }
        ErrorKind::ReadOnlyFilesystem => "choose a directory on a file system that can be written",
        ErrorKind::ConnectionRefused => {
            "nothing listens at that address: check host and port, and whether a proxy is needed"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Name;

    #[test]
    fn who_is_not_let_in_is_told_to_log_in() {
        let registry = Some("quay.io".parse().unwrap());
        let name = Name { registry, repository: "ns/name".parse().unwrap() };
        for error in [source::Error::Unauthorized(name.clone()), source::Error::Denied(name)] {
            let hint = of(&create::Unresolved::Image(error.into())).unwrap();
            assert!(hint.contains("`podman login quay.io`"), "{hint}");
        }
    }

    #[test]
    fn what_is_too_much_for_one_file_can_be_split() {
        let error: create::Error = layout::Error::Tables { files: 1 }.into();
        assert!(of(&error).unwrap().contains("`--archive-size`"));
    }

    #[test]
    fn who_comes_second_waits() {
        let error: create::Error = writer::Error::Busy { path: "x".into() }.into();
        assert!(of(&error).unwrap().starts_with("wait until "));
    }
}

//! Which of many connections have something to read: epoll(7).

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::event::{Timespec, epoll};

use crate::load::kept::Kept;

/// Connections by their places in a list.
pub(super) struct Ready {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Ready {
    pub(super) fn of(connections: &[Kept]) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (place, connection) in (0..).zip(connections) {
            let data = epoll::EventData::new_u64(place);
            epoll::add(&epoll, connection.socket(), data, epoll::EventFlags::IN)?;
        }
        Ok(Self { epoll, events: Vec::with_capacity(connections.len()) })
    }

    /// The places of those that are ready; none if a time passes before.
    pub(super) fn wait(&mut self, time: Duration) -> Result<Vec<usize>> {
        let time = Timespec::try_from(time)?;
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&time),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => bail!("cannot wait for connections: {error}"),
        }
        let places = self.events.iter().map(|event| usize::try_from(event.data.u64()));
        Ok(places.collect::<Result<_, _>>()?)
    }
}

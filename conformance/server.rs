//! The server as its operators see it: connections, time-outs, stopping, what it tells of itself.

mod answers;
mod connections;
mod house;
mod tls;

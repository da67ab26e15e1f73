//! Floor 1: the edge that owns the kernel. The runtime of a core and its ring flags, sockets, TLS, connecting
//! to an address, the clock and the process limits. Only this floor and `worker` know monoio; only this floor
//! is unsafe.
//!
//! | file | what lives there |
//! |---|---|
//! | `runtime` | which driver works here, and running a core on it |
//! | `clock` | the monotonic and the wall clock |
//! | `process` | limits of the process, the CPUs it may use |
//! | `ring`, `buffers` | our own ring: armed receives, sends, readiness, one alarm |
//! | `link` | one connection on that ring, in the clear or under TLS |
//! | `descriptor` | one descriptor on monoio's driver: the operations, and who may start them |
//! | `socket` | one connection on monoio's driver, in the clear or under TLS |
//! | `connect` | opening a connection, and the handshakes on monoio's driver |
//! | `flight` | memory while the kernel holds it |
//! | `listen` | accepting |
//! | `unix` | unix sockets: addresses, and listening with its file |
//! | `mailbox` | messages from other threads to a core |
//! | `journal` | the mapped files that a core writes its records to |
//! | `session` | one TLS session, driven by hand over our buffers |
//! | `tls` | TLS configurations, certificates that can be replaced |
//!
//! Two rules hold everywhere. An operation owns its bytes until its completion, so a receive or a send is
//! never dropped while its socket is in use: to end one early, `shutdown(2)` the socket and let the
//! completion come. What only waits for readiness (accept, mailbox, connect) moves no data and may be dropped
//! at any time.
//!
//! Deliberately absent: names (DNS is the control plane's), deadlines (the worker's), HTTP, and retries.

mod buffers;
pub mod clock;
pub mod connect;
mod descriptor;
mod flight;
pub mod journal;
pub mod link;
pub mod listen;
pub mod mailbox;
pub mod process;
pub mod ring;
pub mod runtime;
mod session;
pub mod socket;
pub mod tls;
pub mod unix;

#[cfg(test)]
mod tests;

pub use connect::{ConnectFault, Dial, Target, TlsTarget, connect};
pub use link::{Handshake, Link};
pub use listen::{AcceptedFd, DirectListener, Listener};
pub use mailbox::{DirectMailbox, Mailbox, MailboxHalf, Message, Post, mailbox};
pub use ring::{Arrival, Done, Ring};
pub use runtime::{Driver, DriverChoice, give_way, pin_to_core, probe, run_on_core};
pub use socket::{Socket, recv, send};
pub use unix::SocketFile;

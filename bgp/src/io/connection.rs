//! One TCP connection: dialling, and carrying octets both ways until either side is done.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::locks::Locks;
use super::sockopt;
use crate::speaker::{ConnectionId, Protection};

/// Octets taken from a socket at once.
const CHUNK: usize = 64 * 1024;
/// How long a closed connection may take to deliver its last octets.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(2);

/// What connections tell the driver.
pub(super) enum Event {
    Connected(ConnectionId, TcpStream),
    Received(ConnectionId, Vec<u8>),
    Sent(ConnectionId, usize),
    Closed(ConnectionId, String),
}

/// The driver's ends of an open connection. Dropping it closes the connection once all octets are
/// sent, or when [`CLOSE_TIME`] is over.
pub(super) struct Pipe {
    pub bytes: mpsc::UnboundedSender<Vec<u8>>,
    _closing: oneshot::Sender<()>,
}

/// Opens a listening socket that has the passwords of the peers from the start.
pub(super) fn listen(address: SocketAddr, locks: &mut Locks) -> io::Result<TcpListener> {
    let socket = socket_for(address.ip())?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // A peer with TTL security takes no notice of our answer to its SYN otherwise.
    set_ttl(&SockRef::from(&socket), address.ip(), u8::MAX)?;
    if address.is_ipv6() {
        // For peers with IPv4, where the kernel lets them in here.
        let _ = SockRef::from(&socket).set_ttl_v4(u8::MAX.into());
    }
    sockopt::save_syn(&socket)?;
    locks.forget();
    locks.fit(&socket, address.ip());
    socket.listen(256)
}

/// Dials and reports how it went.
pub(super) async fn dial(
    id: ConnectionId,
    remote: SocketAddr,
    local: Option<IpAddr>,
    protection: Protection,
    events: mpsc::Sender<Event>,
) {
    let event = match connect(remote, local, &protection).await {
        Ok(stream) => Event::Connected(id, stream),
        Err(error) => Event::Closed(id, format!("cannot connect to {remote}: {error}")),
    };
    // A driver that is gone needs no report.
    let _ = events.send(event).await;
}

async fn connect(
    remote: SocketAddr,
    local: Option<IpAddr>,
    protection: &Protection,
) -> io::Result<TcpStream> {
    let socket = socket_for(remote.ip())?;
    if let Some(local) = local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    protect(&socket, remote.ip(), protection)?;
    if let Some(password) = &protection.password {
        sockopt::set_password(&socket, remote.ip(), remote.ip(), Some(password))
            .map_err(|error| io::Error::new(error.kind(), format!("TCP-MD5: {error}")))?;
    }
    socket.connect(remote).await
}

/// Gives an accepted connection the protection that it needs, or says why it is to be closed.
pub(super) fn admit(
    stream: &TcpStream,
    remote: IpAddr,
    protection: &Protection,
) -> Result<(), String> {
    // What it has sent until now was taken with any TTL: that of its SYN answers for that.
    if let Some(least) = protection.min_ttl {
        let why = match sockopt::syn_ttl(stream) {
            Ok(Some(ttl)) if ttl >= least => None,
            Ok(Some(ttl)) => Some(format!("its TTL is {ttl}, and ttl-security asks for {least}")),
            Ok(None) => Some("the kernel has not kept its TTL, for ttl-security".to_owned()),
            Err(error) => Some(format!("its TTL cannot be told: {error}")),
        };
        if let Some(why) = why {
            return Err(format!("connection of the peer refused: {why}"));
        }
    }
    protect(stream, remote.to_canonical(), protection)
        .map_err(|error| format!("connection of the peer refused: {error}"))
}

fn protect(socket: &impl AsFd, remote: IpAddr, protection: &Protection) -> io::Result<()> {
    if let Some(ttl) = protection.ttl {
        set_ttl(&SockRef::from(socket), remote, ttl)?;
    }
    match protection.min_ttl {
        Some(least) => sockopt::set_min_ttl(socket, remote, least),
        None => Ok(()),
    }
}

/// Sets the TTL (hop limit) of what is sent.
fn set_ttl(socket: &SockRef<'_>, remote: IpAddr, ttl: u8) -> io::Result<()> {
    match remote {
        IpAddr::V4(_) => socket.set_ttl_v4(u32::from(ttl)),
        IpAddr::V6(_) => socket.set_unicast_hops_v6(u32::from(ttl)),
    }
}

/// The two halves of an open connection: the driver's ends, and the task to spawn.
pub(super) fn open(
    id: ConnectionId,
    stream: TcpStream,
    events: mpsc::Sender<Event>,
) -> (Pipe, impl Future<Output = ()> + Send + 'static) {
    let (bytes, queue) = mpsc::unbounded_channel();
    let (guard, closing) = oneshot::channel();
    // Without it a KEEPALIVE may wait for the acknowledgement of an UPDATE.
    let _ = stream.set_nodelay(true);
    let work = async move {
        let (mut input, mut output) = stream.into_split();
        let mut told = false;
        let too_late = async {
            // Resolves, with an error, when the driver drops its end.
            let _ = closing.await;
            tokio::time::sleep(CLOSE_TIME).await;
        };
        tokio::select! {
            () = carry(id, (&mut input, &mut output), &mut told, queue, events) => {}
            () = too_late => {}
        }
        if !told {
            // The peer takes nothing: a reset frees at once what the kernel would go on offering
            // it. One that has been told all may still be reading it, and is left in peace.
            let _ = SockRef::from(output.as_ref()).set_linger(Some(Duration::ZERO));
        }
    };
    (Pipe { bytes, _closing: guard }, work)
}

async fn carry(
    id: ConnectionId,
    (input, output): (&mut OwnedReadHalf, &mut OwnedWriteHalf),
    told: &mut bool,
    queue: mpsc::UnboundedReceiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
) {
    let why = tokio::select! {
        why = read(id, input, &events) => Some(why),
        why = write(id, output, queue, &events) => why,
    };
    match why {
        Some(why) => {
            let _ = events.send(Event::Closed(id, why)).await;
        }
        None => {
            // Closed by us. Unread octets would turn the close into a reset, and the reset could
            // overtake our NOTIFICATION: read on until the peer is done as well.
            let _ = output.shutdown().await;
            *told = true;
            let mut discard = [0; 4096];
            while input.read(&mut discard).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Runs until the peer is done; says how.
async fn read(id: ConnectionId, input: &mut OwnedReadHalf, events: &mpsc::Sender<Event>) -> String {
    loop {
        let mut bytes = Vec::with_capacity(CHUNK);
        match input.read_buf(&mut bytes).await {
            Ok(0) => return "connection closed by the peer".to_owned(),
            Ok(_) => {
                bytes.shrink_to_fit();
                if events.send(Event::Received(id, bytes)).await.is_err() {
                    return String::new();
                }
            }
            Err(error) => return format!("connection lost: {error}"),
        }
    }
}

/// Runs until the queue ends (`None`) or the connection does.
async fn write(
    id: ConnectionId,
    output: &mut OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    events: &mpsc::Sender<Event>,
) -> Option<String> {
    while let Some(bytes) = queue.recv().await {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // What the kernel takes is told at once: the send hold timer judges by it.
            let chunk = rest.get(..CHUNK).unwrap_or(rest);
            match output.write(chunk).await {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    let _ = events.send(Event::Sent(id, count)).await;
                }
                Err(error) => return Some(format!("connection lost: {error}")),
            }
        }
    }
    None
}

fn socket_for(address: IpAddr) -> io::Result<TcpSocket> {
    match address {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
}

/// The address of no socket, for a connection whose own one cannot be told.
pub(super) fn unspecified(remote: IpAddr) -> IpAddr {
    match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

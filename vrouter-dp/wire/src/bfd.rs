//! The BFD control packet (RFC 5880 4.1).

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, fixed_header};

/// UDP port of single-hop control packets (RFC 5881 4).
pub const SINGLE_HOP: u16 = 3784;
/// UDP port of multihop control packets (RFC 5883 5).
pub const MULTIHOP: u16 = 4784;

const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// State of a session (RFC 5880 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Held down by its operator.
    AdminDown = 0,
    /// No sign of the other side, or it says that it is down.
    Down = 1,
    /// The other side is heard and does not hear us yet.
    Init = 2,
    /// Both sides hear each other.
    Up = 3,
}

impl State {
    const ALL: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];

    /// Stable name: CLI, JSON and metric label.
    pub const fn name(self) -> &'static str {
        match self {
            State::AdminDown => "admin-down",
            State::Down => "down",
            State::Init => "init",
            State::Up => "up",
        }
    }
}

/// Why a session went down (RFC 5880 4.1), as the packet has it; of a value that is not assigned nothing else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to say.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// The other side was not heard for the detection time.
    pub const EXPIRED: Diagnostic = Diagnostic(1);
    /// The other side said that it is down.
    pub const NEIGHBOR_DOWN: Diagnostic = Diagnostic(3);
    /// Its operator took the session down.
    pub const ADMIN_DOWN: Diagnostic = Diagnostic(7);

    /// Of the lower five bits.
    pub const fn new(code: u8) -> Diagnostic {
        Diagnostic(code & 0x1f)
    }

    /// 0 to 31.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Stable name: CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "detection-time-expired",
            2 => "echo-failed",
            3 => "neighbor-signaled-down",
            4 => "forwarding-plane-reset",
            5 => "path-down",
            6 => "concatenated-path-down",
            7 => "administratively-down",
            8 => "reverse-concatenated-path-down",
            _ => "unassigned",
        }
    }
}

/// The mandatory section of a control packet: 24 bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Bfd {
    version_diagnostic: u8,
    state_flags: u8,
    detect_multiplier: u8,
    length: u8,
    my_discriminator: U32,
    your_discriminator: U32,
    desired_min_tx: U32,
    required_min_rx: U32,
    required_min_echo_rx: U32,
}

fixed_header!(Bfd, 24);

impl Bfd {
    /// The packet in a datagram, by the rules of RFC 5880 6.8.6 that need no session.
    ///
    /// `Version` for another one than 1; `Length` for a length field that is too small or goes beyond the datagram; `Flags` for the
    /// multipoint bit, a detection multiplier or discriminator of 0, no "your discriminator" in a state that must have one, and
    /// for authentication, which is not spoken here.
    pub fn checked(datagram: &[u8]) -> Result<&Bfd, Malformed> {
        let (bfd, _) = Bfd::parse(datagram)?;
        if bfd.version_diagnostic >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        if usize::from(bfd.length) < Bfd::LEN || usize::from(bfd.length) > datagram.len() {
            return Err(Malformed::Length);
        }
        let stateless = bfd.your_discriminator.get() == 0
            && !matches!(bfd.state(), State::Down | State::AdminDown);
        if bfd.has(AUTHENTICATED | MULTIPOINT)
            || bfd.detect_multiplier == 0
            || bfd.my_discriminator.get() == 0
            || stateless
        {
            return Err(Malformed::Flags);
        }
        Ok(bfd)
    }

    /// From a session with this discriminator, in this state. No intervals, no flags.
    pub const fn new(my_discriminator: u32, state: State, diagnostic: Diagnostic) -> Bfd {
        Bfd {
            version_diagnostic: VERSION << 5 | diagnostic.code(),
            state_flags: (state as u8) << 6,
            detect_multiplier: 1,
            length: Bfd::LEN as u8,
            my_discriminator: U32::new(my_discriminator),
            your_discriminator: U32::new(0),
            desired_min_tx: U32::new(0),
            required_min_rx: U32::new(0),
            required_min_echo_rx: U32::new(0),
        }
    }

    const fn has(&self, flags: u8) -> bool {
        self.state_flags & flags != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.state_flags = if on { self.state_flags | flag } else { self.state_flags & !flag };
    }

    /// State of the sender.
    pub const fn state(&self) -> State {
        State::ALL[(self.state_flags >> 6) as usize]
    }

    /// Why its session last went down.
    pub const fn diagnostic(&self) -> Diagnostic {
        Diagnostic::new(self.version_diagnostic)
    }

    /// The sender asks for an answer.
    pub const fn is_poll(&self) -> bool {
        self.has(POLL)
    }

    /// The answer to a poll.
    pub const fn is_final(&self) -> bool {
        self.has(FINAL)
    }

    /// Its session does not share the fate of its control plane.
    pub const fn is_independent(&self) -> bool {
        self.has(INDEPENDENT)
    }

    /// It wants no packets while the session is up, except polls.
    pub const fn wants_demand(&self) -> bool {
        self.has(DEMAND)
    }

    /// Packets that may be lost before the sender is missed.
    pub const fn detect_multiplier(&self) -> u8 {
        self.detect_multiplier
    }

    /// The session of the sender; never 0.
    pub const fn my_discriminator(&self) -> u32 {
        self.my_discriminator.get()
    }

    /// The session of the receiver as the sender knows it; 0 before it does.
    pub const fn your_discriminator(&self) -> u32 {
        self.your_discriminator.get()
    }

    /// The sender wants to send no more often, microseconds.
    pub const fn desired_min_tx(&self) -> u32 {
        self.desired_min_tx.get()
    }

    /// The sender wants to receive no more often, microseconds; 0: nothing but answers.
    pub const fn required_min_rx(&self) -> u32 {
        self.required_min_rx.get()
    }

    /// Sets the poll bit.
    pub fn set_poll(&mut self, on: bool) {
        self.set(POLL, on);
    }

    /// Sets the final bit.
    pub fn set_final(&mut self, on: bool) {
        self.set(FINAL, on);
    }

    /// Sets the control plane independent bit.
    pub fn set_independent(&mut self, on: bool) {
        self.set(INDEPENDENT, on);
    }

    /// Sets the session of the receiver.
    pub const fn set_your_discriminator(&mut self, discriminator: u32) {
        self.your_discriminator = U32::new(discriminator);
    }

    /// Sets intervals, microseconds, and multiplier.
    pub const fn set_timing(&mut self, desired_min_tx: u32, required_min_rx: u32, multiplier: u8) {
        self.desired_min_tx = U32::new(desired_min_tx);
        self.required_min_rx = U32::new(required_min_rx);
        self.detect_multiplier = multiplier;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up, poll, control plane independent, multiplier 3, 50 ms both ways.
    const PACKET: [u8; 24] =
        [0x20, 0xe8, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0];

    #[test]
    fn is_written_as_the_rfc_draws_it() {
        let mut bfd = Bfd::new(7, State::Up, Diagnostic::NONE);
        bfd.set_your_discriminator(9);
        bfd.set_timing(50_000, 50_000, 3);
        bfd.set_poll(true);
        bfd.set_independent(true);
        assert_eq!(bfd.as_bytes(), PACKET);
        let read = Bfd::checked(&PACKET).unwrap();
        assert_eq!(*read, bfd);
        assert!(
            read.is_poll() && read.is_independent() && !read.is_final() && !read.wants_demand()
        );
        assert_eq!((read.my_discriminator(), read.your_discriminator()), (7, 9));
        assert_eq!((read.desired_min_tx(), read.required_min_rx()), (50_000, 50_000));
        let down = Bfd::new(7, State::Down, Diagnostic::EXPIRED);
        assert_eq!((down.state(), down.diagnostic()), (State::Down, Diagnostic::EXPIRED));
        assert_eq!(down.diagnostic().name(), "detection-time-expired");
    }

    #[test]
    fn each_rule_for_reception_without_a_session() {
        let changed = |at: usize, to: u8| {
            let mut packet = PACKET;
            packet[at] = to;
            Bfd::checked(&packet).map(|_| ())
        };
        assert_eq!(changed(2, 1), Ok(()));
        assert_eq!(changed(0, 0x40), Err(Malformed::Version));
        assert_eq!(changed(3, 23), Err(Malformed::Length));
        assert_eq!(changed(3, 25), Err(Malformed::Length), "beyond the datagram");
        assert_eq!(changed(1, 0xec), Err(Malformed::Flags), "authentication");
        assert_eq!(changed(1, 0xe9), Err(Malformed::Flags), "multipoint");
        assert_eq!(changed(2, 0), Err(Malformed::Flags), "multiplier");
        assert_eq!(changed(7, 0), Err(Malformed::Flags), "my discriminator");
        assert_eq!(changed(11, 0), Err(Malformed::Flags), "your discriminator, up");
        assert_eq!(Bfd::checked(&PACKET[..23]), Err(Malformed::Truncated));
        let mut first = PACKET;
        (first[1], first[11]) = (0x40, 0);
        assert!(Bfd::checked(&first).is_ok(), "down, and not heard of us yet");
        let padded = [&PACKET[..], &[0; 8]].concat();
        assert!(Bfd::checked(&padded).is_ok());
    }
}

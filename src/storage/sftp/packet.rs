//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), to and from bytes. Numbers are big-endian:
//!
//! ```text
//! u32 length of what follows │ u8 type │ u32 id │ fields       string: u32 length │ bytes
//! ```
//!
//! `INIT` and `VERSION` carry the version in place of an id. What is read is bounded by the packet, which is bounded by
//! [`BYTES_MAX`]: counts and lengths in it are believed only as far as there are bytes.

/// The longest packet that is taken, without its length.
pub(super) const BYTES_MAX: usize = 256 << 10;
/// Data bytes that every server takes, and gives, in one packet.
pub(super) const DATA_BYTES: usize = 32 << 10;

/// The version that is spoken here.
const VERSION: u32 = 3;

/// What a packet is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Init = 1,
    Version = 2,
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    SetHandle = 10,
    OpenDirectory = 11,
    ReadDirectory = 12,
    Remove = 13,
    MakeDirectory = 14,
    RemoveDirectory = 15,
    Stat = 17,
    Rename = 18,
    Status = 101,
    Handle = 102,
    Data = 103,
    Names = 104,
    Attributes = 105,
    Extended = 200,
    ExtendedReply = 201,
}

/// `OPEN` for reading.
pub(super) const FOR_READING: u32 = 1;
/// `OPEN` for writing a file that must not be there yet.
pub(super) const FOR_CREATING: u32 = 2 | 8 | 32;

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_MODE: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_MORE: u32 = 1 << 31;

/// A packet to be sent, being put together.
pub(super) struct Packet(Vec<u8>);

impl Packet {
    /// The first one of a session.
    pub(super) fn init() -> Packet {
        Packet::new(Kind::Init).number(VERSION)
    }

    /// A request; its id is put in when it is sent.
    pub(super) fn request(kind: Kind) -> Packet {
        Packet::new(kind).number(0)
    }

    /// The request of an extension.
    pub(super) fn extended(name: &str) -> Packet {
        Packet::request(Kind::Extended).string(name.as_bytes())
    }

    fn new(kind: Kind) -> Packet {
        Packet(vec![0, 0, 0, 0, kind as u8])
    }

    pub(super) fn number(mut self, number: u32) -> Packet {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u64) -> Packet {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn string(mut self, bytes: &[u8]) -> Packet {
        self.0.extend((bytes.len() as u32).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    /// Attributes that say nothing but these permission bits.
    pub(super) fn mode(self, mode: u32) -> Packet {
        self.number(HAS_MODE).number(mode)
    }

    /// Attributes that say nothing but this time of the last access and change, in seconds since 1970.
    pub(super) fn times(self, seconds: u32) -> Packet {
        self.number(HAS_TIMES).number(seconds).number(seconds)
    }

    /// Its bytes, as the request `id`.
    pub(super) fn finish(mut self, id: u32) -> Vec<u8> {
        if self.0[4] != Kind::Init as u8 {
            self.0[5..9].copy_from_slice(&id.to_be_bytes());
        }
        let length = self.0.len() as u32 - 4;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// What a server says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// The first packet: the names of the extensions that are offered.
    Version(Vec<String>),
    /// How it went.
    Status(Status),
    /// An open file or directory.
    Handle(Vec<u8>),
    /// Bytes of a file.
    Data(Vec<u8>),
    /// Names in a directory.
    Names(Vec<Name>),
    /// What a file is.
    Attributes(Attributes),
    /// The answer of an extension.
    Extended(Vec<u8>),
}

/// How a request went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Name {
    /// As it is; names that are not UTF-8 are never ours.
    pub(super) name: String,
    pub(super) attributes: Attributes,
}

/// What is told of a file. Of each part some servers tell nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Attributes {
    /// In bytes.
    pub(super) size: Option<u64>,
    /// Permission bits and, above them, the kind.
    pub(super) mode: Option<u32>,
    /// Of the last change, in seconds since 1970.
    pub(super) modified: Option<u32>,
}

impl Attributes {
    pub(super) fn is_directory(&self) -> bool {
        self.kind() == Some(0o040_000)
    }

    /// Whether it can be a file that holds bytes.
    pub(super) fn may_be_file(&self) -> bool {
        self.kind().is_none_or(|kind| kind == 0o100_000)
    }

    fn kind(&self) -> Option<u32> {
        self.mode
            .map(|mode| mode & 0o170_000)
            .filter(|kind| *kind != 0)
    }
}

/// Bytes that are no packet of this protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// What has come from the server and is not a whole packet yet.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
}

impl Incoming {
    /// Takes what comes next.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend(bytes);
    }

    /// The next packet, if it is whole. After an error there is no other.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Answer)>, Malformed> {
        let mut fields = Fields(&self.bytes[self.start..]);
        let Ok(length) = fields.number() else {
            return Ok(None);
        };
        let length = length as usize;
        if length > BYTES_MAX {
            return Err(Malformed);
        }
        let Ok(packet) = fields.take(length) else {
            return Ok(None);
        };
        let parsed = parse(packet)?;
        self.start += 4 + length;
        Ok(Some(parsed))
    }

    /// What stands where a packet was expected, if it is text.
    pub(super) fn text(&self) -> String {
        let bytes = &self.bytes[self.start..];
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
        text.lines().next().unwrap_or_default().trim().to_owned()
    }
}

/// The id and the content of a server's packet, which came without its length.
pub(super) fn parse(packet: &[u8]) -> Result<(u32, Answer), Malformed> {
    let mut fields = Fields(packet);
    let kind = fields.take(1)?[0];
    let id = fields.number()?;
    let answer = match kind {
        kind if kind == Kind::Version as u8 => {
            if id != VERSION {
                return Err(Malformed);
            }
            let mut names = Vec::new();
            while !fields.0.is_empty() {
                names.push(fields.text()?);
                fields.string()?;
            }
            Answer::Version(names)
        }
        kind if kind == Kind::Status as u8 => Answer::Status(Status {
            code: fields.number()?,
            // Some servers leave it out.
            message: fields.text().unwrap_or_default(),
        }),
        kind if kind == Kind::Handle as u8 => Answer::Handle(fields.string()?.to_vec()),
        kind if kind == Kind::Data as u8 => Answer::Data(fields.string()?.to_vec()),
        kind if kind == Kind::Names as u8 => {
            let mut names = Vec::new();
            for _ in 0..fields.number()? {
                let name = fields.string()?;
                // As `ls -l` shows it, in whatever form.
                fields.string()?;
                let attributes = fields.attributes()?;
                if let Ok(name) = std::str::from_utf8(name) {
                    names.push(Name {
                        name: name.to_owned(),
                        attributes,
                    });
                }
            }
            Answer::Names(names)
        }
        kind if kind == Kind::Attributes as u8 => Answer::Attributes(fields.attributes()?),
        kind if kind == Kind::ExtendedReply as u8 => Answer::Extended(fields.0.to_vec()),
        _ => return Err(Malformed),
    };
    Ok((id, answer))
}

/// What is left to be read of a packet.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = left;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn long(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from(self.number()?) << 32 | u64::from(self.number()?))
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.number()?;
        self.take(count as usize)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        Ok(String::from_utf8_lossy(self.string()?).into_owned())
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.number()?;
        let mut attributes = Attributes::default();
        if flags & HAS_SIZE != 0 {
            attributes.size = Some(self.long()?);
        }
        if flags & HAS_OWNER != 0 {
            self.long()?;
        }
        if flags & HAS_MODE != 0 {
            attributes.mode = Some(self.number()?);
        }
        if flags & HAS_TIMES != 0 {
            self.number()?;
            attributes.modified = Some(self.number()?);
        }
        if flags & HAS_MORE != 0 {
            for _ in 0..self.number()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

/// Reads `bytes` as whatever a server may send, piece by piece: for tests that it ends, and without a panic.
#[cfg(any(test, fuzzing))]
pub fn read_anything(bytes: &[u8]) {
    let _ = parse(bytes);
    let mut incoming = Incoming::default();
    for piece in bytes.chunks(7) {
        incoming.take(piece);
        assert!(incoming.bytes.len() <= BYTES_MAX + 4 + piece.len());
        loop {
            let (start, answer) = (incoming.start, incoming.next());
            let answer = match answer {
                Ok(Some((_, answer))) => answer,
                Ok(None) => break,
                Err(Malformed) => {
                    let _ = incoming.text();
                    return;
                }
            };
            // Nothing grows: what is kept of a packet is no more than its own bytes.
            let kept = match answer {
                Answer::Names(names) => names.len() * 12,
                Answer::Version(names) => names.len() * 8,
                Answer::Data(bytes) | Answer::Handle(bytes) | Answer::Extended(bytes) => {
                    bytes.len()
                }
                Answer::Status(_) | Answer::Attributes(_) => 0,
            };
            assert!(kept <= incoming.start - start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet of the server's, without its length.
    fn packet(kind: Kind, fields: Packet) -> Vec<u8> {
        let mut bytes = vec![kind as u8];
        bytes.extend(&fields.0[5..]);
        bytes
    }

    fn fields() -> Packet {
        Packet::new(Kind::Status).number(7)
    }

    #[test]
    fn requests_are_as_the_draft_has_them() {
        let init = Packet::init().finish(9);
        assert_eq!(init, [0, 0, 0, 5, 1, 0, 0, 0, 3]);
        let open = Packet::request(Kind::Open)
            .string(b"/a")
            .number(FOR_CREATING)
            .mode(0o600);
        assert_eq!(
            open.finish(0x0102_0304),
            [
                0, 0, 0, 23, 3, 1, 2, 3, 4, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 42, 0, 0, 0, 4, 0, 0,
                1, 0x80
            ]
        );
    }

    #[test]
    fn answers_are_read() {
        let status = packet(
            Kind::Status,
            fields().number(4).string(b"Failure").string(b"en"),
        );
        let expected = Status {
            code: 4,
            message: "Failure".to_owned(),
        };
        assert_eq!(parse(&status), Ok((7, Answer::Status(expected))));
        let short = packet(Kind::Status, fields().number(0));
        assert!(matches!(parse(&short), Ok((7, Answer::Status(_)))));

        let attributes = |packet: Packet| {
            packet
                .number(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES | HAS_MORE)
                .long(1 << 33)
                .long(0)
                .number(0o100_644)
                .number(1)
                .number(2)
                .number(1)
                .string(b"x@y")
                .string(b"z")
        };
        let names = attributes(fields().number(2).string(b"a.ltx").string(b"-rw"));
        let names = names.string(b"\xff").string(b"").number(0);
        let expected = Name {
            name: "a.ltx".to_owned(),
            attributes: Attributes {
                size: Some(1 << 33),
                mode: Some(0o100_644),
                modified: Some(2),
            },
        };
        assert_eq!(
            parse(&packet(Kind::Names, names)),
            Ok((7, Answer::Names(vec![expected])))
        );

        let version = Packet::new(Kind::Version).number(3);
        let version = version.string(b"fsync@openssh.com").string(b"1");
        let offered = vec!["fsync@openssh.com".to_owned()];
        assert_eq!(
            parse(&packet(Kind::Version, version)),
            Ok((3, Answer::Version(offered)))
        );
        let other = Packet::new(Kind::Version).number(6);
        assert_eq!(parse(&packet(Kind::Version, other)), Err(Malformed));
    }

    #[test]
    fn counts_are_not_believed() {
        let names = packet(Kind::Names, fields().number(u32::MAX));
        assert_eq!(parse(&names), Err(Malformed));
        let more = packet(Kind::Attributes, fields().number(HAS_MORE).number(u32::MAX));
        assert_eq!(parse(&more), Err(Malformed));
        let mut incoming = Incoming::default();
        incoming.take(b"Welcome to nas\nx");
        assert_eq!(incoming.next(), Err(Malformed));
        assert_eq!(incoming.text(), "Welcome to nas");
    }

    #[test]
    fn packets_come_in_pieces() {
        let status = Packet::new(Kind::Status).number(7).number(4).string(b"no");
        let bytes = [status.finish(7), vec![0, 0, 0, 9, 101]].concat();
        let mut incoming = Incoming::default();
        let mut found = Vec::new();
        for byte in bytes {
            incoming.take(&[byte]);
            found.extend(incoming.next().unwrap());
        }
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 7);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_anything(&bytes);
        }

        #[test]
        fn any_packets_are_read(
            packets in prop::collection::vec(
                (
                    prop::sample::select(vec![2_u8, 101, 102, 103, 104, 105, 201, 0, 255]),
                    prop::collection::vec(
                        prop_oneof![
                            Just(vec![0, 0, 0, 0]),
                            Just(vec![0, 0, 0, 2]),
                            Just(vec![0x80, 0, 0, 0x0f]),
                            Just(vec![0, 0, 0, 3, b'a', b'b', b'c']),
                            prop::collection::vec(any::<u8>(), 0..9),
                        ],
                        0..20,
                    ),
                ),
                0..5,
            )
        ) {
            let mut stream = Vec::new();
            for (kind, fields) in packets {
                let fields = fields.concat();
                stream.extend((fields.len() as u32 + 1).to_be_bytes());
                stream.push(kind);
                stream.extend(fields);
            }
            read_anything(&stream);
        }
    }
}

//! AS paths: AS_PATH with two or four octets a number, and AS4_PATH (RFC 4271 4.3, RFC 6793).

use std::fmt;

use crate::types::Asn;

/// One segment. The numbers of a sequence stand in order, nearest AS first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// AS_SET: passed through some of these.
    Set(Vec<Asn>),
    /// AS_SEQUENCE: passed through all of these.
    Sequence(Vec<Asn>),
}

impl Segment {
    /// The numbers, whichever kind.
    pub fn asns(&self) -> &[Asn] {
        match self {
            Segment::Set(asns) | Segment::Sequence(asns) => asns,
        }
    }

    /// RFC 4271 9.1.2.2 a: a set counts as one.
    fn hops(&self) -> usize {
        match self {
            Segment::Set(_) => 1,
            Segment::Sequence(asns) => asns.len(),
        }
    }
}

/// The path of a route through other systems; empty for a route of the own AS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath {
    /// Nearest first.
    pub segments: Vec<Segment>,
}

impl AsPath {
    /// A path of one sequence, or the empty path.
    pub fn sequence(asns: &[Asn]) -> AsPath {
        if asns.is_empty() {
            AsPath::default()
        } else {
            AsPath { segments: vec![Segment::Sequence(asns.to_vec())] }
        }
    }

    /// Length for the decision (RFC 4271 9.1.2.2 a).
    pub fn hops(&self) -> usize {
        self.segments.iter().map(Segment::hops).sum()
    }

    /// Whether `asn` stands anywhere in it: a loop, if it is our own.
    pub fn contains(&self, asn: Asn) -> bool {
        self.segments.iter().any(|segment| segment.asns().contains(&asn))
    }

    /// The AS that sent the route into ours; `None` for an empty path or one that starts with a set.
    pub fn neighbor(&self) -> Option<Asn> {
        match self.segments.first() {
            Some(Segment::Sequence(asns)) => asns.first().copied(),
            _ => None,
        }
    }

    /// Puts `asn` in front (RFC 4271 5.1.2 b).
    pub fn prepend(&mut self, asn: Asn) {
        match self.segments.first_mut() {
            Some(Segment::Sequence(asns)) if asns.len() < 255 => asns.insert(0, asn),
            _ => self.segments.insert(0, Segment::Sequence(vec![asn])),
        }
    }

    /// Whether a number does not fit two octets.
    pub fn needs_four_octets(&self) -> bool {
        self.segments.iter().flat_map(Segment::asns).any(|asn| asn.0 > 0xffff)
    }

    /// Reads the value of an AS_PATH or AS4_PATH.
    ///
    /// # Errors
    /// What is malformed (RFC 7606 7.2): segment of unknown type, of no numbers, or cut short.
    /// Confederation segments are malformed outside of a confederation (RFC 5065 5).
    pub fn decode(mut value: &[u8], four_octets: bool) -> Result<AsPath, &'static str> {
        let size = if four_octets { 4 } else { 2 };
        let mut segments = Vec::new();
        while let Some((&[kind, count], rest)) = value.split_first_chunk::<2>() {
            let count = usize::from(count);
            if count == 0 {
                return Err("AS path segment of no numbers");
            }
            let Some((numbers, rest)) = rest.split_at_checked(count * size) else {
                return Err("AS path segment longer than the attribute");
            };
            let asns = numbers
                .chunks_exact(size)
                .map(|n| Asn(n.iter().fold(0, |asn, &octet| asn << 8 | u32::from(octet))))
                .collect();
            segments.push(match kind {
                1 => Segment::Set(asns),
                2 => Segment::Sequence(asns),
                _ => return Err("AS path segment of unknown type"),
            });
            value = rest;
        }
        if value.is_empty() {
            Ok(AsPath { segments })
        } else {
            Err("stray octet at the end of the AS path")
        }
    }

    /// Appends the value of an AS_PATH (or AS4_PATH) to `out`. Numbers that do not fit two octets
    /// become [`Asn::TRANS`].
    pub fn encode(&self, four_octets: bool, out: &mut Vec<u8>) {
        for segment in &self.segments {
            let kind = match segment {
                Segment::Set(_) => 1,
                Segment::Sequence(_) => 2,
            };
            for part in segment.asns().chunks(255) {
                out.push(kind);
                out.push(part.len() as u8);
                for asn in part {
                    if four_octets {
                        out.extend_from_slice(&asn.0.to_be_bytes());
                    } else {
                        out.extend_from_slice(&asn.two_octets().to_be_bytes());
                    }
                }
            }
        }
    }

    /// The path that an AS_PATH of two-octet numbers and an AS4_PATH tell together (RFC 6793
    /// 4.2.3): AS4_PATH, and in front of it the hops by which AS_PATH is longer.
    pub fn merge(self, four: AsPath) -> AsPath {
        let (two_hops, four_hops) = (self.hops(), four.hops());
        let Some(mut lead) = two_hops.checked_sub(four_hops) else { return self };
        if four.segments.is_empty() {
            return self;
        }
        let mut segments = Vec::new();
        for segment in self.segments {
            if lead == 0 {
                break;
            }
            let hops = segment.hops();
            match segment {
                Segment::Sequence(mut asns) if hops > lead => {
                    asns.truncate(lead);
                    segments.push(Segment::Sequence(asns));
                    lead = 0;
                }
                whole => {
                    segments.push(whole);
                    lead -= hops;
                }
            }
        }
        let mut rest = four.segments.into_iter();
        // One sequence from two halves, so that the same path has one form.
        if let Some(Segment::Sequence(front)) = segments.last_mut() {
            match rest.next() {
                Some(Segment::Sequence(back)) if front.len() + back.len() <= 255 => {
                    front.extend(back);
                }
                other => segments.extend(other),
            }
        }
        segments.extend(rest);
        AsPath { segments }
    }
}

impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            let set = matches!(segment, Segment::Set(_));
            f.write_str(if set { "{" } else { "" })?;
            for (j, asn) in segment.asns().iter().enumerate() {
                let space = if j > 0 { " " } else { "" };
                write!(f, "{space}{asn}")?;
            }
            f.write_str(if set { "}" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AsPath {
        let asns: Vec<Asn> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
        AsPath::sequence(&asns)
    }

    #[test]
    fn reads_both_widths_and_shows_them() {
        let two = AsPath::decode(&[2, 2, 0xfc, 0, 0, 7, 1, 1, 0, 9], false).unwrap();
        assert_eq!(two.to_string(), "64512 7 {9}");
        assert_eq!(two.hops(), 3);
        assert_eq!(two.neighbor(), Some(Asn(64512)));
        let mut four = Vec::new();
        two.encode(true, &mut four);
        assert_eq!(four, [2, 2, 0, 0, 0xfc, 0, 0, 0, 0, 7, 1, 1, 0, 0, 0, 9]);
        assert_eq!(AsPath::decode(&four, true), Ok(two));
    }

    #[test]
    fn refuses_what_rfc_7606_calls_malformed() {
        for bad in [&[2][..], &[2, 0], &[2, 1, 0], &[5, 1, 0, 1], &[3, 1, 0, 1], &[2, 1, 0, 1, 9]] {
            assert!(AsPath::decode(bad, false).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn merges_as4_path_behind_the_hops_it_does_not_know() {
        let merged = path("64512 23456 23456").merge(path("70000 80000"));
        assert_eq!(merged, path("64512 70000 80000"));
        // RFC 6793 4.2.3: a longer AS4_PATH is ignored.
        assert_eq!(path("1").merge(path("2 3")), path("1"));
        assert_eq!(path("1 2").merge(AsPath::default()), path("1 2"));
    }

    #[test]
    fn prepends_without_overlong_segments() {
        let mut long = AsPath::sequence(&[Asn(1); 255]);
        long.prepend(Asn(2));
        assert_eq!((long.segments.len(), long.hops()), (2, 256));
        let mut empty = AsPath::default();
        empty.prepend(Asn(70_000));
        assert!(empty.needs_four_octets() && empty.contains(Asn(70_000)));
    }
}

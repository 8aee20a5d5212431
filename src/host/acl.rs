//! POSIX access control lists, in the form in which the kernel hands them out.
//!
//! A list is a version and entries of tag, permission bits and id. Only what inheritance needs is here:
//! what a file that is created in a directory with a default list gets, and which bits the group has.

/// The attribute that holds who may do what.
pub const ACCESS: &str = "system.posix_acl_access";
/// The attribute that holds what new entries of a directory get.
pub const DEFAULT: &str = "system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// An access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl(Vec<Entry>);

impl Acl {
    /// `None` if the bytes are no list that this module knows.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let (entries, odd) = rest.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !odd.is_empty() || entries.is_empty() {
            return None;
        }
        let entry = |[a, b, c, d, e, f, g, h]: &[u8; 8]| Entry {
            tag: u16::from_le_bytes([*a, *b]),
            permissions: u16::from_le_bytes([*c, *d]),
            id: u32::from_le_bytes([*e, *f, *g, *h]),
        };
        Some(Self(entries.iter().map(entry).collect()))
    }

    /// The kernel's form.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(&entry.tag.to_le_bytes());
            bytes.extend_from_slice(&entry.permissions.to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    fn bits(&self, tag: u16) -> Option<u32> {
        self.0.iter().find(|entry| entry.tag == tag).map(|entry| u32::from(entry.permissions) & 0o7)
    }

    /// What the owning group may do, mask included.
    pub fn group(&self) -> u32 {
        self.bits(GROUP_OBJ).unwrap_or(0) & self.bits(MASK).unwrap_or(0o7)
    }

    /// The mode that shows for something with this list.
    pub fn mode(&self) -> u32 {
        let group = self.bits(MASK).or(self.bits(GROUP_OBJ)).unwrap_or(0);
        self.bits(USER_OBJ).unwrap_or(0) << 6 | group << 3 | self.bits(OTHER).unwrap_or(0)
    }

    /// As a default list: the list of something that is created with `mode`.
    pub fn created(&self, mode: u32) -> Self {
        let masked = self.bits(MASK).is_some();
        let entry = |entry: &Entry| {
            let allowed = match entry.tag {
                USER_OBJ => mode >> 6,
                GROUP_OBJ if !masked => mode >> 3,
                MASK => mode >> 3,
                OTHER => mode,
                _ => 0o7,
            };
            Entry { permissions: entry.permissions & (allowed & 0o7) as u16, ..*entry }
        };
        Self(self.0.iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16)]) -> Acl {
        Acl(entries.iter().map(|&(tag, permissions)| Entry { tag, permissions, id: u32::MAX }).collect())
    }

    #[test]
    fn bytes_and_back() {
        let acl = list(&[(USER_OBJ, 7), (0x02, 5), (GROUP_OBJ, 5), (MASK, 5), (OTHER, 0)]);
        assert_eq!(Acl::parse(&acl.bytes()), Some(acl.clone()));
        for cut in 0..acl.bytes().len() {
            let parsed = Acl::parse(&acl.bytes()[..cut]);
            assert!(parsed.is_none_or(|parsed| parsed.0.len() < acl.0.len()), "{cut}");
        }
    }

    #[test]
    fn a_created_file_gets_no_more_than_its_mode() {
        let acl = list(&[(USER_OBJ, 7), (0x02, 7), (GROUP_OBJ, 7), (MASK, 7), (OTHER, 5)]);
        assert_eq!(acl.mode(), 0o775);
        let file = acl.created(0o666);
        assert_eq!(file, list(&[(USER_OBJ, 6), (0x02, 7), (GROUP_OBJ, 7), (MASK, 6), (OTHER, 4)]));
        assert_eq!((file.mode(), file.group()), (0o664, 0o6));
        let plain = list(&[(USER_OBJ, 7), (GROUP_OBJ, 7), (OTHER, 7)]);
        assert_eq!(plain.created(0o640).mode(), 0o640);
    }
}

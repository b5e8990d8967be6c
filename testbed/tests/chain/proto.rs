//! Just enough of the protobuf wire format to write messages and to read replies.

/// A field with a number; zero is left out.
pub fn number(tag: u32, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [varint(u64::from(tag) << 3), varint(value)].concat() }
}

/// A field with bytes or a message, also when they are empty.
pub fn bytes(tag: u32, value: &[u8]) -> Vec<u8> {
    [&varint(u64::from(tag) << 3 | 2)[..], &varint(value.len() as u64), value].concat()
}

/// A field with a text; an empty one is left out.
pub fn text(tag: u32, value: &str) -> Vec<u8> {
    if value.is_empty() { Vec::new() } else { bytes(tag, value.as_bytes()) }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Message(Vec<(u32, Field)>);

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    pub fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = read_varint(&mut bytes);
            let tag = u32::try_from(key >> 3).unwrap();
            let field = match key & 7 {
                0 => Field::Number(read_varint(&mut bytes)),
                2 => {
                    let length = usize::try_from(read_varint(&mut bytes)).unwrap();
                    Field::Bytes(bytes.split_off(..length).unwrap().to_vec())
                }
                wire => panic!("wire type {wire}"),
            };
            fields.push((tag, field));
        }
        Self(fields)
    }

    /// 0 when it is missing.
    pub fn number(&self, tag: u32) -> u64 {
        let found = self.0.iter().find(|(known, _)| *known == tag);
        found.map_or(0, |(_, field)| match field {
            Field::Number(value) => *value,
            Field::Bytes(_) => panic!("field {tag} is no number"),
        })
    }

    pub fn all(&self, tag: u32) -> Vec<Vec<u8>> {
        let of_tag = self.0.iter().filter(|(known, _)| *known == tag);
        of_tag
            .map(|(_, field)| match field {
                Field::Bytes(value) => value.clone(),
                Field::Number(_) => panic!("field {tag} is a number"),
            })
            .collect()
    }

    pub fn message(&self, tag: u32) -> Self {
        Self::read(self.all(tag).first().unwrap_or_else(|| panic!("no field {tag} in {self:?}")))
    }

    /// Empty when it is missing.
    pub fn text(&self, tag: u32) -> String {
        self.all(tag).first().map(|value| String::from_utf8(value.clone()).unwrap()).unwrap_or_default()
    }
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = *bytes.split_off_first().unwrap();
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

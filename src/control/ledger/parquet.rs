//! A writer of flat Parquet files: plain encoding, no compression, one page per column and group of rows.
//!
//! The format's crate would do this too, at a minute and a half of build time for forty columns of plain
//! values; what is needed of the format is on this page. Names and numbers are those of `parquet.thrift`
//! (github.com/apache/parquet-format), written in Thrift's compact protocol.
//! Deliberately absent: nesting, dictionaries, statistics, reading.

use std::io::{self, Write};

use super::export::Value;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// UTF-8.
    Text,
    /// 64 bits with a sign.
    Whole,
    /// True or false.
    Flag,
    /// `DECIMAL(19, 12)`, perhaps nothing.
    Amount,
    /// `TIMESTAMP_MILLIS`, UTC.
    Moment,
}

/// `Type`
const BOOLEAN: i64 = 0;
const INT64: i64 = 2;
const BYTE_ARRAY: i64 = 6;
/// `ConvertedType`
const UTF8: i64 = 0;
const DECIMAL: i64 = 5;
const TIMESTAMP_MILLIS: i64 = 9;
/// `Encoding`
const PLAIN: i64 = 0;
const RLE: i64 = 3;

/// Rows held in memory before they are written.
const GROUP_ROWS: usize = 32_768;

const MAGIC: &[u8; 4] = b"PAR1";

/// A column, and its values of the current group of rows.
#[derive(Debug)]
pub(super) struct Column {
    name: &'static str,
    shape: Shape,
    /// As they lie in the page.
    values: Vec<u8>,
    /// Which rows have one; only of columns that may have none.
    there: Vec<bool>,
    flags: Vec<bool>,
}

impl Column {
    pub(super) const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, values: Vec::new(), there: Vec::new(), flags: Vec::new() }
    }

    const fn kind(&self) -> i64 {
        match self.shape {
            Shape::Text => BYTE_ARRAY,
            Shape::Flag => BOOLEAN,
            Shape::Whole | Shape::Amount | Shape::Moment => INT64,
        }
    }

    fn push(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.values.extend_from_slice(&length.to_le_bytes());
                self.values.extend_from_slice(text.as_bytes());
            }
            Value::Whole(number) => self.values.extend_from_slice(&number.to_le_bytes()),
            Value::Flag(flag) => self.flags.push(*flag),
            Value::Amount(amount) => {
                self.there.push(amount.is_some());
                if let Some(amount) = amount {
                    self.values.extend_from_slice(&amount.to_le_bytes());
                }
            }
            Value::Moment(at) => {
                let millis = i64::try_from(at.saturating_mul(1_000)).unwrap_or(i64::MAX);
                self.values.extend_from_slice(&millis.to_le_bytes());
            }
        }
    }

    /// The page's bytes, and the column empty again.
    fn page(&mut self) -> Vec<u8> {
        let mut page = Vec::new();
        if self.shape == Shape::Amount {
            let levels = levels(&self.there);
            page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
            page.extend_from_slice(&levels);
        }
        page.append(&mut self.values);
        for eight in self.flags.chunks(8) {
            page.push(eight.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag)));
        }
        self.flags.clear();
        self.there.clear();
        page
    }
}

/// Definition levels of 0 and 1 as runs: the length, doubled, and the level.
fn levels(there: &[bool]) -> Vec<u8> {
    let mut levels = Vec::new();
    for run in there.chunk_by(|one, other| one == other) {
        varint(&mut levels, (run.len() as u64) << 1);
        levels.push(u8::from(run[0]));
    }
    levels
}

/// Where a column of a group lies.
#[derive(Debug)]
struct Chunk {
    offset: i64,
    bytes: i64,
    values: i64,
}

/// A file that is being written.
pub(super) struct Parquet<'a> {
    out: &'a mut dyn Write,
    at: i64,
    columns: Vec<Column>,
    /// Rows of the current group.
    rows: usize,
    groups: Vec<(usize, Vec<Chunk>)>,
}

impl<'a> Parquet<'a> {
    pub(super) fn new(columns: Vec<Column>, out: &'a mut dyn Write) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, at: MAGIC.len() as i64, columns, rows: 0, groups: Vec::new() })
    }

    pub(super) fn row(&mut self, values: impl Iterator<Item = Value>) -> io::Result<()> {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(&value);
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.group() } else { Ok(()) }
    }

    /// Writes the group of rows.
    fn group(&mut self) -> io::Result<()> {
        let rows = core::mem::take(&mut self.rows);
        let mut chunks = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let page = column.page();
            let mut header = Thrift::default();
            header.number(1, I32, 0); // DATA_PAGE
            header.number(2, I32, page.len() as i64);
            header.number(3, I32, page.len() as i64);
            header.begin(5);
            for (field, value) in [(1, rows as i64), (2, PLAIN), (3, RLE), (4, RLE)] {
                header.number(field, I32, value);
            }
            header.end();
            header.end();
            self.out.write_all(&header.bytes)?;
            self.out.write_all(&page)?;
            let bytes = (header.bytes.len() + page.len()) as i64;
            chunks.push(Chunk { offset: self.at, bytes, values: rows as i64 });
            self.at += bytes;
        }
        self.groups.push((rows, chunks));
        Ok(())
    }

    /// Writes what is left, and the footer.
    pub(super) fn end(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.group()?;
        }
        let mut footer = Thrift::default();
        footer.number(1, I32, 1);
        self.schema(&mut footer);
        footer.number(3, I64, self.groups.iter().map(|(rows, _)| *rows as i64).sum());
        footer.list(4, STRUCT, self.groups.len());
        for (rows, chunks) in &self.groups {
            self.group_footer(&mut footer, *rows, chunks);
        }
        footer.text(6, "Millrace");
        footer.end();
        self.out.write_all(&footer.bytes)?;
        self.out.write_all(&(footer.bytes.len() as u32).to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        self.out.flush()
    }

    fn schema(&self, footer: &mut Thrift) {
        footer.list(2, STRUCT, self.columns.len() + 1);
        footer.element();
        footer.text(4, "requests");
        footer.number(5, I32, self.columns.len() as i64);
        footer.end();
        for column in &self.columns {
            footer.element();
            footer.number(1, I32, column.kind());
            footer.number(3, I32, (column.shape == Shape::Amount).into());
            footer.text(4, column.name);
            match column.shape {
                Shape::Text => footer.number(6, I32, UTF8),
                Shape::Moment => footer.number(6, I32, TIMESTAMP_MILLIS),
                Shape::Amount => {
                    for (field, value) in [(6, DECIMAL), (7, 12), (8, 19)] {
                        footer.number(field, I32, value);
                    }
                }
                Shape::Whole | Shape::Flag => {}
            }
            footer.end();
        }
    }

    fn group_footer(&self, footer: &mut Thrift, rows: usize, chunks: &[Chunk]) {
        footer.element();
        footer.list(1, STRUCT, chunks.len());
        for (chunk, column) in chunks.iter().zip(&self.columns) {
            footer.element();
            footer.number(2, I64, chunk.offset);
            footer.begin(3);
            footer.number(1, I32, column.kind());
            footer.list(2, I32, 2);
            footer.zigzag(PLAIN);
            footer.zigzag(RLE);
            footer.list(3, BINARY, 1);
            footer.string(column.name);
            footer.number(4, I32, 0); // UNCOMPRESSED
            for (field, value) in [(5, chunk.values), (6, chunk.bytes), (7, chunk.bytes), (9, chunk.offset)] {
                footer.number(field, I64, value);
            }
            footer.end();
            footer.end();
        }
        footer.number(2, I64, chunks.iter().map(|chunk| chunk.bytes).sum());
        footer.number(3, I64, rows as i64);
        footer.end();
    }
}

/// Types of Thrift's compact protocol.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A structure in Thrift's compact protocol.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    /// The last field of the current structure.
    last: u8,
    /// Of those around it.
    around: Vec<u8>,
}

impl Thrift {
    /// Fields are written in the order of their numbers, which differ by less than 16.
    fn field(&mut self, field: u8, kind: u8) {
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
    }

    fn number(&mut self, field: u8, kind: u8, value: i64) {
        self.field(field, kind);
        self.zigzag(value);
    }

    fn text(&mut self, field: u8, value: &str) {
        self.field(field, BINARY);
        self.string(value);
    }

    fn begin(&mut self, field: u8) {
        self.field(field, STRUCT);
        self.element();
    }

    /// A structure in a list.
    fn element(&mut self) {
        self.around.push(core::mem::take(&mut self.last));
    }

    fn end(&mut self) {
        self.bytes.push(0);
        self.last = self.around.pop().unwrap_or_default();
    }

    fn list(&mut self, field: u8, kind: u8, count: usize) {
        self.field(field, LIST);
        if count < 15 {
            self.bytes.push((count as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            varint(&mut self.bytes, count as u64);
        }
    }

    fn zigzag(&mut self, value: i64) {
        varint(&mut self.bytes, (value << 1 ^ value >> 63).cast_unsigned());
    }

    fn string(&mut self, text: &str) {
        varint(&mut self.bytes, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// Seven bits in a byte, lowest first.
fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a small file. Files of this shape were read back with the crate of the format and with
    /// pyarrow.
    #[test]
    fn a_small_file_has_its_bytes() {
        let mut out = Vec::new();
        let columns = vec![
            Column::new("t", Shape::Text),
            Column::new("a", Shape::Amount),
            Column::new("f", Shape::Flag),
        ];
        let mut file = Parquet::new(columns, &mut out).unwrap();
        for (text, amount, flag) in [("x", Some(5), true), ("", None, false), ("yz", Some(-1), true)] {
            file.row([Value::Text(text.into()), Value::Amount(amount), Value::Flag(flag)].into_iter())
                .unwrap();
        }
        file.end().unwrap();
        let page = |bytes: &[u8]| out.windows(bytes.len()).any(|window| window == bytes);
        assert!(page(b"\x01\0\0\0x\0\0\0\0\x02\0\0\0yz"));
        // Levels: one there, one not, one there; then the two amounts.
        let amounts =
            [&[6, 0, 0, 0, 2, 1, 2, 0, 2, 1][..], &5_i64.to_le_bytes(), &(-1_i64).to_le_bytes()].concat();
        assert!(page(&amounts));
        assert!(page(&[0b101]));
        assert!(out.starts_with(MAGIC) && out.ends_with(MAGIC));
        let length = u32::from_le_bytes(out[out.len() - 8..out.len() - 4].try_into().unwrap()) as usize;
        let footer = &out[out.len() - 8 - length..out.len() - 8];
        // Version 1, and a schema of four elements.
        assert!(footer.starts_with(&[0x15, 2, 0x19, 0x4c]) && footer.ends_with(b"\x08Millrace\0"));
    }
}

//! What one bundle holds, in words.

use super::inside::{Archive, Imageset, Inside, Missing, Needs};
use super::references::Reference;
use crate::cli::printer::{self, size};

impl Inside {
    /// The lines that `inspect` prints of it.
    pub(super) fn text(&self) -> String {
        let path = printer::name(self.path.display());
        let mut lines = vec![format!("{path}: {}", self.format)];
        if let Some(imageset) = &self.imageset {
            let Imageset { id, name, sequence, created, generator, .. } = imageset;
            let name = printer::name(name);
            let part = imageset.part.as_ref();
            let part = part.map(|it| format!(", part {} of {}", it.number, it.count));
            let part = part.unwrap_or_default();
            lines.push(format!("  imageset   {name} ({id}), sequence {sequence}{part}"));
            lines.push(format!("  identity   {}", imageset.digest));
            if let Some(previous) = &imageset.previous {
                lines.push(format!(
                    "  follows    sequence {}, {}",
                    previous.sequence, previous.digest
                ));
            }
            let (created, generator) = (printer::name(created), printer::name(generator));
            lines.push(format!("  made       {created} by {generator}"));
        }
        if let Some(Archive { uid, sequence, single_use }) = &self.archive {
            let alone = if *single_use { ", which stands alone" } else { "" };
            lines.push(format!("  archive    {uid}, sequence {sequence}{alone}"));
        }
        let (bytes, count) = (size(self.bytes), self.references.len());
        lines.push(format!("  content    {} blobs, {bytes}; {count} references", self.blobs));
        let widest = self.references.iter().map(|it| it.reference.len()).max().unwrap_or(0);
        for Reference { reference, digest, here, bytes } in &self.references {
            let digest = printer::short(digest);
            let bytes = if *here { size(*bytes) } else { "elsewhere".to_owned() };
            lines.push(format!("    {reference:widest$}  {digest}  {bytes:>10}"));
        }
        if let Some(Needs { blobs, bytes }) = &self.needs {
            let bytes = size(*bytes);
            lines.push(format!("  builds on  {blobs} blobs, {bytes}, of earlier sequences"));
        }
        if let Some(Needs { blobs, bytes }) = &self.other_parts {
            let what = format!("{blobs} blobs, {}, of what it names", size(*bytes));
            lines.push(format!("  belongs    to other parts, which hold {what}"));
        }
        for Missing { digest, bytes, needed_by, elsewhere, .. } in &self.missing {
            let bytes = bytes.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)));
            let place = elsewhere.as_ref();
            let place = place.map_or_else(String::new, |place| format!(", {place}"));
            let needed_by = needed_by.join(", ");
            lines.push(format!("  missing    {digest}{bytes}, needed by {needed_by}{place}"));
        }
        if !self.sparse.is_empty() {
            lines.push(format!("  left out   {} manifests, on purpose", self.sparse.len()));
        }
        for failed in &self.failed {
            lines.push(format!(
                "  failed     {}: {}",
                failed.reference,
                printer::name(&failed.reason)
            ));
        }
        lines.extend(self.problems.iter().map(|it| format!("  problem    {}", printer::name(it))));
        lines.join("\n")
    }
}

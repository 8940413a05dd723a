//! Documents of ours: JSON that says in `schemaVersion` which version it has.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Reads a document of version `newest` or lower.
///
/// Its version is read first: what is newer may look otherwise.
///
/// # Errors
///
/// What `json` or `newer` makes of it, when it is not such a document or is a newer one.
pub fn parse<T: DeserializeOwned, E>(
    bytes: &[u8],
    newest: u32,
    json: impl Fn(serde_json::Error) -> E,
    newer: impl Fn(u32) -> E,
) -> Result<T, E> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u32,
    }
    let Version { schema_version: found } = serde_json::from_slice(bytes).map_err(&json)?;
    if found > newest {
        return Err(newer(found));
    }
    serde_json::from_slice(bytes).map_err(json)
}

/// The bytes of a document, made to be read by people as well.
///
/// # Errors
///
/// Never for checked words.
pub fn to_bytes<T: Serialize>(document: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

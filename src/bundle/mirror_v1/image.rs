//! An image with layers put on top of it: of each platform, the same bytes at every opening.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::bundle::Problem;
use crate::bundle::docker::packed;
use crate::bundle::tree::Stored;
use crate::oci::{Descriptor, Digest, MAX_MANIFEST_SIZE, Manifest, MediaType, Role};

/// How many manifests one image may have, with all its platforms.
const MAX_MANIFESTS: usize = 256;
/// How deep indexes may lie in one another.
const MAX_DEPTH: usize = 4;
/// The type of an uncompressed layer of an OCI image.
const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// When what is made here was made: always then.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A layer that is put on top: an uncompressed tar.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) stored: Stored,
}

/// Puts layers on top of images.
pub(super) struct Maker<'a> {
    /// Where the blobs of the images are.
    blobs: &'a dyn Fn(&Digest) -> Option<Stored>,
    layers: &'a [Layer],
    /// What becomes of the `config` of a configuration.
    configure: &'a dyn Fn(&mut Map<String, Value>),
    /// What was made of each manifest.
    known: HashMap<Digest, Descriptor>,
    /// The configurations, manifests and indexes that were made.
    pub(super) made: Vec<(Digest, Stored)>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        blobs: &'a dyn Fn(&Digest) -> Option<Stored>,
        layers: &'a [Layer],
        configure: &'a dyn Fn(&mut Map<String, Value>),
    ) -> Self {
        Self { blobs, layers, configure, known: HashMap::new(), made: Vec::new() }
    }

    /// Makes an image of these: of one alone what it is, of several an index.
    ///
    /// # Errors
    ///
    /// Why there is nothing to make one of.
    pub(super) fn image(&mut self, of: &[Descriptor]) -> Result<Descriptor, Fault> {
        if let [one] = of {
            return self.make(one, 0);
        }
        let mut index = json!({"schemaVersion": 2});
        let manifests = of.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
        let manifests = manifests.map_err(|error| Fault::Text(error.to_string()))?;
        let object = index.as_object_mut().ok_or("it is no object")?;
        object.insert("manifests".to_owned(), manifests.into());
        let docker = |it: &Descriptor| it.media_type.as_str() == MediaType::DOCKER_MANIFEST;
        let all_docker = !of.is_empty() && of.iter().all(docker);
        let of = if all_docker { MediaType::DOCKER_LIST } else { MediaType::OCI_INDEX };
        object.insert("mediaType".to_owned(), of.into());
        self.index(&mut index, of.parse().map_err(|_| "its type is none")?, 0)
    }

    fn make(&mut self, of: &Descriptor, depth: usize) -> Result<Descriptor, Fault> {
        if let Some(known) = self.known.get(&of.digest) {
            return Ok(known.clone());
        }
        if self.known.len() >= MAX_MANIFESTS || depth > MAX_DEPTH {
            return Err(Fault::from("it has too many manifests"));
        }
        let bytes = self.read(&of.digest)?;
        let fault = |error: &dyn std::fmt::Display| Fault::Text(format!("{}: {error}", of.digest));
        let manifest =
            Manifest::parse(&bytes, Some(&of.media_type)).map_err(|error| fault(&error))?;
        let mut document: Value = serde_json::from_slice(&bytes).map_err(|error| fault(&error))?;
        let made = if manifest.media_type.is_index() {
            self.index(&mut document, manifest.media_type, depth)?
        } else {
            self.platform(&mut document, &manifest)?
        };
        self.known.insert(of.digest.clone(), made.clone());
        Ok(made)
    }

    /// Makes all platforms of an index that are here; what is about a platform goes, as it is
    /// about another image now.
    fn index(
        &mut self,
        document: &mut Value,
        media_type: MediaType,
        depth: usize,
    ) -> Result<Descriptor, Fault> {
        let object = document.as_object_mut().ok_or("it is no object")?;
        let listed = object.remove("manifests").unwrap_or_default();
        let Value::Array(listed) = listed else { return Err(Fault::from("it lists nothing")) };
        let mut manifests = Vec::new();
        for child in listed {
            let Ok(mut child) = serde_json::from_value::<Descriptor>(child) else { continue };
            let is_platform = child.platform.as_ref().is_none_or(|it| it.os != "unknown");
            if !is_platform {
                continue;
            }
            let made = self.make(&child, depth + 1)?;
            child.platform = child.platform.or(made.platform);
            (child.digest, child.size, child.media_type) =
                (made.digest, made.size, made.media_type);
            manifests.push(serde_json::to_value(child).map_err(|it| Fault::Text(it.to_string()))?);
        }
        if manifests.is_empty() {
            return Err(Fault::from("it has no platforms"));
        }
        object.insert("manifests".to_owned(), manifests.into());
        self.add(document, media_type)
    }

    fn platform(&mut self, document: &mut Value, manifest: &Manifest) -> Result<Descriptor, Fault> {
        let config = manifest.children.iter().find(|it| it.role == Role::Config);
        let mut config = config.ok_or("it has no configuration")?.descriptor.clone();
        let bytes = self.read(&config.digest)?;
        let fault = |error| Fault::Text(format!("{}: {error}", config.digest));
        let mut image: Value = serde_json::from_slice(&bytes).map_err(fault)?;
        self.put_on(&mut image).ok_or("its configuration is none of an image")?;
        let text = |key: &str| image.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let platform = text("architecture").zip(text("os"));
        let variant = text("variant");
        let made = self.add(&image, config.media_type.clone())?;
        (config.digest, config.size) = (made.digest, made.size);
        let docker = manifest.media_type.as_str() == MediaType::DOCKER_MANIFEST;
        let of = if docker { MediaType::DOCKER_LAYER_TAR } else { OCI_LAYER_TAR };
        let of: MediaType = of.parse().map_err(|_| "its type is none")?;
        let object = document.as_object_mut().ok_or("it is no object")?;
        let value = |it: &Descriptor| {
            serde_json::to_value(it).map_err(|error| Fault::Text(error.to_string()))
        };
        object.insert("config".to_owned(), value(&config)?);
        let layers = object.entry("layers").or_insert_with(|| json!([]));
        let layers = layers.as_array_mut().ok_or("its layers are no list")?;
        for Layer { digest, stored } in self.layers {
            layers.push(value(&Descriptor::new(of.clone(), digest.clone(), stored.length()))?);
        }
        // It is about what it was made of no more.
        object.remove("subject");
        let mut made = self.add(document, manifest.media_type.clone())?;
        made.platform = platform.map(|(architecture, os)| {
            let (os_version, os_features) = (None, Vec::new());
            Box::new(crate::oci::Platform { architecture, os, variant, os_version, os_features })
        });
        Ok(made)
    }

    /// Adds the layers to a configuration; nothing if it is none.
    fn put_on(&self, image: &mut Value) -> Option<()> {
        let image = image.as_object_mut()?;
        let diff_ids = image.get_mut("rootfs")?.get_mut("diff_ids")?.as_array_mut()?;
        diff_ids.extend(self.layers.iter().map(|it| it.digest.to_string().into()));
        // Without a history of the rest, one of these alone would be wrong.
        if let Some(Value::Array(history)) = image.get_mut("history")
            && !history.is_empty()
        {
            let step = json!({"created": CREATED, "created_by": "shipperd"});
            history.extend(self.layers.iter().map(|_| step.clone()));
        }
        let config = image.entry("config").or_insert_with(|| json!({}));
        if config.is_null() {
            *config = json!({});
        }
        (self.configure)(config.as_object_mut()?);
        Some(())
    }

    fn read(&self, digest: &Digest) -> Result<Vec<u8>, Fault> {
        let stored = (self.blobs)(digest);
        let stored = stored.ok_or_else(|| Fault::Text(format!("{digest} is not here")))?;
        let read = stored.open().and_then(|content| content.read_all(MAX_MANIFEST_SIZE));
        let bytes = read.map_err(|error| Fault::Text(format!("{digest}: {error}")))?;
        if !digest.matches(&bytes) {
            return Err(Fault::Damaged(digest.clone(), stored.offset()));
        }
        Ok(bytes)
    }

    fn add(&mut self, document: &Value, media_type: MediaType) -> Result<Descriptor, Fault> {
        let bytes = serde_json::to_vec(document).map_err(|it| Fault::Text(it.to_string()))?;
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        self.made.push((descriptor.digest.clone(), packed(bytes)));
        Ok(descriptor)
    }
}

/// Why no image can be made.
#[derive(Debug)]
pub(super) enum Fault {
    /// What it is made of is damaged, and where that lies.
    Damaged(Digest, Option<u64>),
    /// In words.
    Text(String),
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Fault {
    /// What is to be said of an image that cannot be made.
    pub(super) fn of(self, reference: &str) -> Problem {
        let reference = reference.to_owned();
        match self {
            Self::Damaged(digest, offset) => {
                let at = offset.map_or_else(String::new, |at| format!(", at byte {at}"));
                Problem::NotMade { reference, reason: format!("its {digest} is damaged{at}") }
            }
            Self::Text(reason) => Problem::NotMade { reference, reason },
        }
    }
}

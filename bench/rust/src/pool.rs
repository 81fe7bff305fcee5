//! Datagrams of many senders in a file, for `bench/c/gen.c`.
//!
//! All of a pool have one length, so that the kernel can be handed many at once.

use crate::Result;
use crate::process::Arguments;
use caster_core::Message;
use caster_core::middleware::{Crypto, Hash, Json, Middleware};
use std::io::{BufWriter, Write};

/// `pool kind=heartbeat|message|goodbye|noise stack=raw|hash|crypto ids=N size=BYTES file=PATH`
///
/// `size` is that of the JSON text; heartbeats grow by their metadata, messages by their message.
pub fn write(arguments: &Arguments) -> Result<()> {
    let kind = arguments.text("kind", "message");
    let stack = arguments.text("stack", "hash");
    let ids = arguments.number("ids", 1000.0) as u64;
    let size = arguments.number("size", 64.0) as usize;
    let mut stages: Vec<Box<dyn Middleware>> = Vec::new();
    if stack != "raw" {
        stages.push(Box::new(Json::new()));
        stages.push(Box::new(Hash::new(&Default::default())?));
    }
    if stack == "crypto" {
        stages.push(Box::new(Crypto::new(&Default::default())?));
    }
    let mut file = BufWriter::new(std::fs::File::create(arguments.text("file", "pool"))?);
    for id in 0..ids {
        let text = text(kind, id, size);
        let mut message = match stack {
            "raw" => Message::bytes(text),
            _ => Message::json(text)?,
        };
        for stage in &stages {
            stage.tx(&mut message)?;
        }
        let mut data = message.into_data();
        if kind == "noise" {
            // The datagram of a sender without the secret.
            data[(id % 16) as usize] ^= 1 << (id % 8);
        }
        if let Some(channel) =
            arguments.text("lcm", "").as_bytes().split_last().map(|_| arguments.text("lcm", ""))
        {
            data = [
                &0x4c43_3032_u32.to_be_bytes(),
                &(id as u32).to_be_bytes(),
                channel.as_bytes(),
                &[0],
                &data,
            ]
            .concat();
        }
        file.write_all(&u16::try_from(data.len())?.to_le_bytes())?;
        file.write_all(&data)?;
    }
    Ok(file.flush()?)
}

fn text(kind: &str, id: u64, size: usize) -> String {
    let (head, tail) = match kind {
        "goodbye" => return format!("{{\"id\":\"n{id:07}\",\"suicide\":true}}"),
        "heartbeat" if size == 0 => {
            return format!("{{\"id\":\"n{id:07}\",\"meta\":{{\"type\":\"http\",\"port\":8080}}}}");
        }
        "heartbeat" => (format!("{{\"id\":\"n{id:07}\",\"meta\":{{\"pad\":\""), "\"}}"),
        _ => (format!("{{\"id\":\"n{id:07}\",\"message\":\"{id:08}"), "\"}"),
    };
    let padding = size.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "x".repeat(padding))
}

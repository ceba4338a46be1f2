//! Frames on a stream: a length of four bytes, big end first, and so many bytes.

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::io;

/// The next frame; nothing where the stream ends between frames. Longer than `bytes_max` is an error
/// before anything is allocated for it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), bytes_max: u32) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_be_bytes(length);
    if length > bytes_max {
        let why = format!("a frame of {length} bytes, where {bytes_max} is the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Writes a frame, without flushing.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(frame).await
}

//! The extension block of a ClientHello: the server name, and whether there is an ECH.

use super::hello_error::HelloError;
use super::reader::{Reader, Stop};
use super::server_name;

/// RFC 6066 §3.
const SERVER_NAME: u16 = 0;
/// RFC 9849 §5.
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
/// RFC 6066 §3, the only name type there is.
const HOST_NAME: u8 = 0;

/// What was found in the block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) server_name: Option<&'a str>,
    pub(super) has_ech: bool,
}

/// Walks over the block (RFC 8446 §4.2) to its end. Extensions that are of no concern here are
/// only measured: what is wrong in them is for the server to judge.
pub(super) fn read(mut block: Reader<'_>) -> Result<Extensions<'_>, Stop> {
    let mut found = Extensions::default();
    let mut has_server_name = false;
    while !block.is_at_end() {
        let kind = block.u16()?;
        if kind == SERVER_NAME && has_server_name {
            return Err(Stop::Broken(HelloError::ServerNameTwice));
        }
        let length_bytes = usize::from(block.u16()?);
        let body = block.field(length_bytes, HelloError::ServerNameListLength)?;
        match kind {
            SERVER_NAME => {
                has_server_name = true;
                found.server_name = read_server_name(body)?;
            }
            ENCRYPTED_CLIENT_HELLO => found.has_ech = true,
            _ => {}
        }
    }
    Ok(found)
}

/// The host_name of a ServerNameList (RFC 6066 §3).
fn read_server_name(mut body: Reader<'_>) -> Result<Option<&str>, Stop> {
    let list_bytes = usize::from(body.u16()?);
    if list_bytes != body.left_bytes() {
        return Err(Stop::Broken(HelloError::ServerNameListLength));
    }
    if list_bytes == 0 {
        return Err(Stop::Broken(HelloError::ServerNameListEmpty));
    }
    let mut list = body.field(list_bytes, HelloError::ServerNameLength)?;
    let mut host_name = None;
    while !list.is_at_end() {
        let kind = list.u8()?;
        if kind == HOST_NAME && host_name.is_some() {
            return Err(Stop::Broken(HelloError::HostNameTwice));
        }
        // Name types to come begin with a length as host_name does, so that they can be skipped.
        let name_bytes = usize::from(list.u16()?);
        let name = list.field(name_bytes, HelloError::ServerNameLength)?;
        if kind == HOST_NAME {
            server_name::check_length(name_bytes).map_err(HelloError::from)?;
            server_name::check_bytes(name.arrived()).map_err(HelloError::from)?;
            host_name = Some(server_name::check(name.whole()?).map_err(HelloError::from)?);
        } else {
            name.whole()?;
        }
    }
    Ok(host_name)
}

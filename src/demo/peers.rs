//! The service behind the gateways, and the client in front of them.
//!
//! The client sends a length and as many bytes; the service sends the same bytes back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::StreamOwned;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::tls::uri_names;

/// Long enough for a busy machine, short enough for a person who waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// The service takes no more, whoever asks.
const LENGTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Serves connections on a port of its own, until the process ends.
pub(super) fn serve(config: ServerConfig) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let config = Arc::new(config);
    let accept = move || {
        for connection in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that fails sees it itself.
            thread::spawn(move || echo(config, connection));
        }
    };
    thread::Builder::new().name("demo-service".into()).spawn(accept)?;
    Ok(address)
}

fn echo(config: Arc<ServerConfig>, connection: TcpStream) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(session, connection);
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length).min(LENGTH_BYTES_MAX);
    let mut bytes = Vec::new();
    Read::by_ref(&mut stream).take(length).read_to_end(&mut bytes)?;
    stream.write_all(&bytes)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// What a client got.
pub(super) struct Reply {
    /// The URI SANs of the server's certificate, as the client saw it.
    pub(super) server_names: Vec<String>,
    /// What came back.
    pub(super) bytes: Vec<u8>,
}

/// Sends bytes to a server name, through whoever listens on an address.
pub(super) fn call(
    config: &Arc<ClientConfig>,
    gateway: SocketAddr,
    server_name: &str,
    bytes: &[u8],
) -> io::Result<Reply> {
    let mut stream = connect(config, gateway, server_name)?;
    stream.write_all(&(bytes.len() as u64).to_be_bytes())?;
    stream.write_all(bytes)?;
    stream.flush()?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    let certificate = stream.conn.peer_certificates().and_then(<[_]>::first);
    Ok(Reply { server_names: certificate.map(uri_names).unwrap_or_default(), bytes: back })
}

/// The alert with which a server name is refused; an error if it is not.
pub(super) fn refused(
    config: &Arc<ClientConfig>,
    gateway: SocketAddr,
    server_name: &str,
) -> io::Result<AlertDescription> {
    let mut stream = connect(config, gateway, server_name)?;
    let error = match stream.conn.complete_io(&mut stream.sock) {
        Ok(_) => return Err(io::Error::other("the handshake succeeded")),
        Err(error) => error,
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Ok(*alert),
        _ => Err(error),
    }
}

fn connect(
    config: &Arc<ClientConfig>,
    gateway: SocketAddr,
    server_name: &str,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let connection = TcpStream::connect(gateway)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(StreamOwned::new(session, connection))
}

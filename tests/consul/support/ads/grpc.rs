//! One call of gRPC that streams both ways, without TLS, over HTTP/2 (gRPC's
//! `PROTOCOL-HTTP2.md`).

use std::fmt;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, ResponseFuture};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

/// What may come before it is read: more than any answer of a test.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// gRPC's code for "nobody there".
const UNAVAILABLE: u32 = 14;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// As gRPC has it; 0 is a good end.
    pub code: u32,
    pub message: String,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

/// A call under way.
pub struct Call {
    send: h2::SendStream<Bytes>,
    receive: Receive,
    received: BytesMut,
}

enum Receive {
    /// Nothing has come: a server answers when it has something to say.
    Waiting(ResponseFuture),
    Answered(RecvStream),
}

impl Call {
    /// Begins a call.
    pub async fn begin(
        server: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Status> {
        let stream = TcpStream::connect(server).await.map_err(unavailable)?;
        let mut builder = Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let (client, connection) = builder.handshake(stream).await.map_err(unavailable)?;
        // Its end shows in the call.
        tokio::spawn(connection);
        let mut request = Request::post(format!("http://{server}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut client = client.ready().await.map_err(unavailable)?;
        let request = request.body(()).unwrap();
        let (response, send) = client.send_request(request, false).map_err(unavailable)?;
        Ok(Self { send, receive: Receive::Waiting(response), received: BytesMut::new() })
    }

    /// Sends a message.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Status> {
        let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.put_slice(message);
        self.send.send_data(framed.freeze(), false).map_err(unavailable)
    }

    /// The next message. Can be given up at any time without losing any.
    pub async fn receive(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some(message) = self.take_message() {
                return Ok(message);
            }
            self.read().await?;
        }
    }

    fn take_message(&mut self) -> Option<Bytes> {
        let mut prefix = self.received.get(..PREFIX_BYTES)?;
        assert_eq!(prefix.get_u8(), 0, "a compressed message, which nobody asked for");
        let length_bytes = usize::try_from(prefix.get_u32()).unwrap();
        if self.received.len() < PREFIX_BYTES + length_bytes {
            return None;
        }
        self.received.advance(PREFIX_BYTES);
        Some(self.received.split_to(length_bytes).freeze())
    }

    async fn read(&mut self) -> Result<(), Status> {
        let stream = match &mut self.receive {
            Receive::Answered(stream) => stream,
            Receive::Waiting(response) => {
                let (head, stream) = response.await.map_err(unavailable)?.into_parts();
                self.receive = Receive::Answered(stream);
                // A call that fails at once has its status there.
                return status(&head.headers).map_or(Ok(()), Err);
            }
        };
        match stream.data().await {
            Some(bytes) => {
                let bytes = bytes.map_err(unavailable)?;
                stream.flow_control().release_capacity(bytes.len()).map_err(unavailable)?;
                self.received.extend_from_slice(&bytes);
                Ok(())
            }
            None => {
                let trailers = stream.trailers().await.map_err(unavailable)?.unwrap_or_default();
                Err(status(&trailers).unwrap_or_else(|| unavailable("it ended without a status")))
            }
        }
    }
}

fn status(headers: &HeaderMap) -> Option<Status> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().ok()?;
    Some(Status { code, message: text("grpc-message").unwrap_or_default().to_owned() })
}

fn unavailable(why: impl fmt::Display) -> Status {
    Status { code: UNAVAILABLE, message: why.to_string() }
}

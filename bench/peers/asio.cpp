/* A peer on Asio: a server of the seed's protocol with the standalone Asio, in C++17.
 *
 *   peer_asio [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a read are answered by one write.
 *
 * Waits for a socket to be readable (async_wait) and then reads without blocking into one block
 * that all connections share. async_read_some would need a block of its own for every connection,
 * as Asio may fill it before it calls anybody: 640 MB at 10,000 connections, or short reads. The
 * wait costs an epoll_ctl a read; async_read_some costs as much, a read that finds nothing. Replies
 * leave with write_some; what that does not take waits in an async_write, and until it is out
 * nothing is read. The context has no locks (its one thread says so), and sockets name its executor
 * as a type, which spares the virtual calls of any_io_executor. A connection belongs to the
 * handler that waits for it, and ends when a handler lets go of it.
 */
#define ASIO_STANDALONE
#include <asio.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "frames.h"

namespace {

using asio::ip::tcp;
using executor = asio::io_context::executor_type;
using tcp_socket = asio::basic_stream_socket<tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;

constexpr std::size_t RECEIVE_MAX = 256 << 10;
constexpr int BACKLOG = 4096;

std::uint8_t received[RECEIVE_MAX];
std::uint8_t replies[HEADER + MESSAGE_MAX + 2 * RECEIVE_MAX + REPLY_HEADER];
std::uint32_t next_id = FIRST_ID;

struct connection {
    tcp_socket socket;
    part unfinished{};
    std::vector<std::uint8_t> unsent;

    explicit connection(tcp_socket &&accepted) : socket(std::move(accepted))
    {
    }
    connection(const connection &) = delete;
    connection &operator=(const connection &) = delete;
    ~connection()
    {
        frames_fini(&unfinished);
    }
};

using owned = std::unique_ptr<connection>;

void serve(owned conn);

void wait(owned conn)
{
    tcp_socket &socket = conn->socket;
    socket.async_wait(tcp_socket::wait_read,
                      [conn = std::move(conn)](const asio::error_code &error) mutable {
                          if (!error) {
                              serve(std::move(conn));
                          }
                      });
}

/* Keeps what the socket did not take, and reads again when it is out. */
void send_rest(owned conn, const std::uint8_t *from, const std::uint8_t *to)
{
    connection &kept = *conn;
    kept.unsent.assign(from, to);
    asio::async_write(kept.socket, asio::buffer(kept.unsent),
                      [conn = std::move(conn)](const asio::error_code &error, std::size_t) mutable {
                          if (!error) {
                              conn->unsent = {};
                              wait(std::move(conn));
                          }
                      });
}

void serve(owned conn)
{
    asio::error_code error;
    std::size_t got = conn->socket.read_some(asio::buffer(received), error);
    if (error == asio::error::would_block) {
        wait(std::move(conn));
        return;
    }
    std::uint8_t *to = nullptr;
    if (!error) {
        to = frames_answer(&conn->unfinished, received, received + got, replies, &next_id);
    }
    if (!to) {
        return;
    }
    std::size_t count = static_cast<std::size_t>(to - replies), sent = 0;
    if (count > 0) {
        sent = conn->socket.write_some(asio::buffer(replies, count), error);
    }
    if (error && error != asio::error::would_block) {
        return;
    }
    if (sent == count) {
        wait(std::move(conn));
    } else {
        send_rest(std::move(conn), replies + sent, to);
    }
}

void accept(tcp_acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](const asio::error_code &error, tcp_socket socket) {
        if (error && error != asio::error::connection_aborted) {
            std::fprintf(stderr, "accept: %s\n", error.message().c_str());
            std::exit(1);
        }
        if (!error) {
            socket.non_blocking(true);
            wait(std::make_unique<connection>(std::move(socket)));
        }
        accept(acceptor);
    });
}

void run(std::uint16_t port)
{
    asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
    tcp_acceptor acceptor(context.get_executor());
    acceptor.open(tcp::v4());
    acceptor.set_option(tcp_acceptor::reuse_address(true));
    acceptor.set_option(tcp::no_delay(true)); /* what is accepted has it from here */
    acceptor.bind(tcp::endpoint(asio::ip::address_v4::loopback(), port));
    acceptor.listen(BACKLOG);
    std::printf("listening on 127.0.0.1:%u\n", unsigned{acceptor.local_endpoint().port()});
    std::fflush(stdout);
    accept(acceptor);
    context.run();
}

} // namespace

int main(int argc, char **argv)
{
    try {
        run(static_cast<std::uint16_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0));
    } catch (const std::exception &what) {
        std::fprintf(stderr, "%s\n", what.what());
        return 1;
    }
}

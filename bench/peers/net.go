/* A peer in Go: a server of the seed's protocol with the package net, one goroutine a connection.
 *
 *   peer_go [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a read are answered by one write, which blocks the goroutine while the socket takes
 * no more: that is the back-pressure.
 *
 * Conn.Read would want a block of its own for every goroutine that waits in it, 640 MB at 10,000
 * connections. RawConn.Read waits in the same way, but calls back when there is something to read,
 * and a block is taken from a pool only then: a few large ones serve all, and stay in the cache.
 * Ids are taken for all frames of a read at once, as there may be several threads (there is one
 * when the process is pinned to one CPU). Nothing is allocated for a message.
 */
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	header      = 4
	replyHeader = 8
	messageMax  = 1 << 20
	receiveMax  = 256 << 10
)

var (
	receivePool        = sync.Pool{New: func() any { return new([receiveMax]byte) }}
	replyPool          = sync.Pool{New: func() any { return &replies{} }}
	lastID      uint32 = 10000
)

type replies struct {
	bytes []byte
	count int
	id    uint32
}

type peer struct {
	raw  syscall.RawConn
	part []byte // a frame that has not come whole
}

func (out *replies) add(message []byte) {
	to := out.bytes[out.count:]
	out.id++
	binary.LittleEndian.PutUint32(to, uint32(len(message)+4))
	binary.LittleEndian.PutUint32(to[4:], out.id)
	copy(to[replyHeader:], message)
	out.count += replyHeader + len(message)
}

// The size of the frame at the front of some bytes: whether it is whole, and whether it can be.
func frame(bytes []byte) (size int, whole, good bool) {
	if len(bytes) < header {
		return 0, false, true
	}
	message := binary.LittleEndian.Uint32(bytes)
	if message > messageMax {
		return 0, false, false
	}
	size = header + int(message)
	return size, size <= len(bytes), true
}

// Adds to the part what it lacks of so many bytes. What is left, and whether it has them now.
func (peer *peer) fill(want int, bytes []byte) ([]byte, bool) {
	take := want - len(peer.part)
	if take > len(bytes) {
		take = len(bytes)
	}
	peer.part = append(peer.part, bytes[:take]...)
	return bytes[take:], len(peer.part) == want
}

// Answers every whole frame. False for a length that no frame can have.
func (peer *peer) answer(bytes []byte, out *replies) bool {
	room := len(peer.part) + 2*len(bytes) + replyHeader
	if len(out.bytes) < room {
		out.bytes = make([]byte, room)
	}
	out.count = 0
	first := false
	if len(peer.part) > 0 {
		done := true
		if len(peer.part) < header {
			if bytes, done = peer.fill(header, bytes); !done {
				return true
			}
		}
		size, _, good := frame(peer.part)
		if !good {
			return false
		}
		if bytes, first = peer.fill(size, bytes); !first {
			return true
		}
	}
	frames := uint32(0)
	if first {
		frames++
	}
	for rest := bytes; ; frames++ {
		size, whole, good := frame(rest)
		if !good {
			return false
		}
		if !whole {
			break
		}
		rest = rest[size:]
	}
	out.id = atomic.AddUint32(&lastID, frames) - frames
	if first {
		out.add(peer.part[header:])
		peer.part = peer.part[:0]
		frames--
	}
	for ; frames > 0; frames-- {
		size := header + int(binary.LittleEndian.Uint32(bytes))
		out.add(bytes[header:size])
		bytes = bytes[size:]
	}
	peer.part = append(peer.part, bytes...)
	return true
}

func serve(conn *net.TCPConn) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	peer := peer{raw: raw}
	var received *[receiveMax]byte
	var got int
	var failed error
	read := func(fd uintptr) bool {
		received = receivePool.Get().(*[receiveMax]byte)
		got, failed = syscall.Read(int(fd), received[:])
		if failed == syscall.EAGAIN || failed == syscall.EINTR {
			receivePool.Put(received)
			return false
		}
		return true
	}
	for {
		if peer.raw.Read(read) != nil {
			return
		}
		out := replyPool.Get().(*replies)
		good := failed == nil && got > 0 && peer.answer(received[:got], out)
		receivePool.Put(received)
		if good && out.count > 0 {
			_, err := conn.Write(out.bytes[:out.count])
			good = err == nil
		}
		replyPool.Put(out)
		if !good {
			return
		}
	}
}

func main() {
	port := 0
	if len(os.Args) > 1 {
		port, _ = strconv.Atoi(os.Args[1])
	}
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %v\n", listener.Addr())
	for {
		conn, err := listener.AcceptTCP() // with TCP_NODELAY, as all of net's
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(conn)
	}
}

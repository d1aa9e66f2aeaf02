#!/usr/bin/env node
/* A peer on Node: a server of the seed's protocol with the module net.
 *
 *   peer_node [PORT]     serves on 127.0.0.1, any free port by default, until it is killed
 *
 * All frames of a read are answered by one write. A read is 64 KiB; net has no setting for that.
 *
 * Replies are written into one block that all connections share. A write that the socket took whole
 * at once leaves nothing in the queue (writableLength), and the block is free again; one that it did
 * not take keeps the block, and the next write makes another. When the queue is also above its mark
 * (write said false) nothing is read until it is out. Short messages are copied byte by byte, which
 * the compiler makes faster than any call.
 */
'use strict';

const net = require('net');

const HEADER = 4;
const REPLY_HEADER = 8;
const MESSAGE_MAX = 1 << 20;
const REPLIES_ROOM = 256 << 10;
const PART_MIN = 4096;
const COPY_MIN = 96; /* a guess: below it a call costs more than the bytes */
const BACKLOG = 4096;

let lastId = 10000;
let replies = Buffer.allocUnsafeSlow(REPLIES_ROOM);

function load32(from, at) {
  return (from[at] | (from[at + 1] << 8) | (from[at + 2] << 16) | (from[at + 3] << 24)) >>> 0;
}

function store32(to, at, value) {
  to[at] = value;
  to[at + 1] = value >>> 8;
  to[at + 2] = value >>> 16;
  to[at + 3] = value >>> 24;
}

/* Adds a reply at `at`; where it ends. */
function addReply(at, from, begin, bytes) {
  lastId = (lastId + 1) >>> 0;
  store32(replies, at, bytes + 4);
  store32(replies, at + 4, lastId);
  at += REPLY_HEADER;
  if (bytes < COPY_MIN) {
    for (let i = 0; i < bytes; i++) {
      replies[at + i] = from[begin + i];
    }
  } else {
    from.copy(replies, at, begin, begin + bytes);
  }
  return at + bytes;
}

class Part { /* a frame that has not come whole */
  constructor() {
    this.bytes = null;
    this.room = 0;
    this.count = 0;
  }

  keep(from, begin, end) {
    const want = this.count + end - begin;
    if (want > this.room) {
      const old = this.bytes;
      this.room = want < PART_MIN ? PART_MIN : want * 2;
      this.bytes = Buffer.allocUnsafeSlow(this.room);
      if (old) {
        old.copy(this.bytes, 0, 0, this.count);
      }
    }
    from.copy(this.bytes, this.count, begin, end);
    this.count = want;
  }

  /* Adds what it lacks of `want` bytes, as far as it is there; where the rest begins. */
  fill(want, from, at) {
    const take = Math.min(want - this.count, from.length - at);
    this.keep(from, at, at + take);
    return at + take;
  }
}

/* Answers every whole frame. The bytes of the replies, or -1 for a length that cannot be. */
function answer(part, from) {
  let at = 0;
  let to = 0;
  const room = part.count + 2 * from.length + REPLY_HEADER;
  if (replies === null || replies.length < room) {
    replies = Buffer.allocUnsafeSlow(Math.max(room, REPLIES_ROOM));
  }
  if (part.count > 0) {
    if (part.count < HEADER) {
      at = part.fill(HEADER, from, at);
      if (part.count < HEADER) {
        return to;
      }
    }
    const bytes = load32(part.bytes, 0);
    if (bytes > MESSAGE_MAX) {
      return -1;
    }
    at = part.fill(HEADER + bytes, from, at);
    if (part.count < HEADER + bytes) {
      return to;
    }
    to = addReply(to, part.bytes, HEADER, bytes);
    part.count = 0;
  }
  while (from.length - at >= HEADER) {
    const bytes = load32(from, at);
    if (bytes > MESSAGE_MAX) {
      return -1;
    }
    if (from.length - at - HEADER < bytes) {
      break;
    }
    to = addReply(to, from, at + HEADER, bytes);
    at += HEADER + bytes;
  }
  if (at < from.length) {
    part.keep(from, at, from.length);
  }
  return to;
}

function serve(socket) {
  const part = new Part();
  const resume = () => socket.resume();
  socket.on('error', () => {}); /* it is closed behind this */
  socket.on('data', (data) => {
    const count = answer(part, data);
    if (count < 0) {
      socket.destroy();
    } else if (count > 0) {
      const more = socket.write(replies.subarray(0, count));
      if (socket.writableLength > 0) {
        replies = null; /* it is the socket's until it is sent */
        if (!more) {
          socket.pause();
          socket.once('drain', resume);
        }
      }
    }
  });
}

const server = net.createServer({ noDelay: true }, serve);
const port = process.argv.length > 2 ? Number(process.argv[2]) : 0;
server.listen({ host: '127.0.0.1', port, backlog: BACKLOG }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});

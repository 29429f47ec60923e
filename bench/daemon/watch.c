//go:build ignore

// The subscribers of the events test: one thread, one epoll, N connections that
// take server-sent events and check each: numbers go on by one, and where they
// do not, the stream has said how many are missing. One more connection asks for
// the same and never reads a byte.
//
//   watch SOCKET CONNECTIONS PATH
//
// It writes "ready" when every connection has its answer's header, then reads a
// line with the number of the last event to wait for, and writes a line of JSON
// when every connection has come to it or has ended. It stays until its input ends.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 16, LINE = 96, EVENTS = 256 };

// Where in an answer a connection is.
enum place { HEAD, SIZE, DATA, DATA_END, TAIL };

// A line that is being read, of which only the begin is kept.
struct line {
	char text[LINE + 1];
	size_t length;
};

struct connection {
	int fd; // -1: ended
	enum place place;
	size_t left;         // bytes of the chunk that are still to come
	struct line http;    // of the header, or the size of a chunk
	struct line content; // of the stream, which goes on from chunk to chunk

	uint64_t id, missed;    // of the message that is being read
	int loss, data;         // it tells of a loss, it has data
	uint64_t last;          // number of the last event
	int begun;              // last is known
	uint64_t events, told;  // received, told to be lost
	uint64_t untold, again; // lost without a word, received again
	uint64_t bytes;
	uint64_t reached; // when it came to the last event; 0: not yet
};

static struct connection *all;
static int connections, ready, reached, ended;
static uint64_t target = UINT64_MAX;

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
	fprintf(stderr, "watch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int subscribe(const char *path, const char *what) {
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof a.sun_path) die("the path of the socket is too long");
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) die(path);
	if (dprintf(fd, "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n", what) < 0) die("request");
	return fd;
}

// arrived notes when a connection has come to the event that is waited for.
static void arrived(struct connection *c) {
	if (c->reached || !c->begun || c->last < target) return;
	c->reached = now();
	reached++;
}

// message deals with a message that is complete.
static void message(struct connection *c) {
	if (c->loss) {
		c->told += c->missed;
		c->last += c->missed;
	} else if (c->id && c->data) {
		if (c->begun && c->id <= c->last) c->again++;
		if (c->begun && c->id > c->last + 1) c->untold += c->id - c->last - 1;
		c->events++;
	}
	if (c->id) {
		c->last = c->id;
		c->begun = 1;
	}
	c->id = c->missed = 0;
	c->loss = c->data = 0;
	arrived(c);
}

static void content(struct connection *c) {
	const char *text = c->content.text;
	if (!*text) {
		message(c);
	} else if (!strncmp(text, "id: ", 4)) {
		c->id = strtoull(text + 4, 0, 10);
	} else if (!strcmp(text, "event: missed")) {
		c->loss = 1;
	} else if (!strncmp(text, "data: ", 6)) {
		c->data = 1;
		if (c->loss) sscanf(text + 6, "{\"missed\":%lu}", &c->missed);
	}
}

// http deals with a line of HTTP itself.
static void http(struct connection *c) {
	char *text = c->http.text;
	text[strcspn(text, "\r")] = 0;
	switch (c->place) {
	case HEAD:
		if (!strncmp(text, "HTTP/", 5) && strncmp(text, "HTTP/1.1 200", 12)) {
			fprintf(stderr, "watch: %s\n", text);
			exit(1);
		}
		if (!*text) c->place = SIZE, ready++;
		break;
	case SIZE:
		c->left = strtoul(text, 0, 16);
		c->place = c->left ? DATA : TAIL;
		break;
	case DATA_END:
		c->place = SIZE;
		break;
	default:
		break;
	}
}

// collect adds to a line what there is of it, and says where it goes on; nothing
// when the line is not complete.
static const char *collect(struct line *l, const char *from, const char *end) {
	const char *stop = memchr(from, '\n', (size_t)(end - from));
	size_t n = (size_t)((stop ? stop : end) - from);
	if (l->length < LINE) memcpy(l->text + l->length, from, n < LINE - l->length ? n : LINE - l->length);
	l->length += n;
	if (!stop) return 0;
	l->text[l->length < LINE ? l->length : LINE] = 0;
	l->length = 0;
	return stop + 1;
}

static void take(struct connection *c, const char *from, const char *end) {
	while (from && from < end) {
		if (c->place != DATA) {
			if ((from = collect(&c->http, from, end))) http(c);
			continue;
		}
		size_t n = (size_t)(end - from) < c->left ? (size_t)(end - from) : c->left;
		const char *stop = from + n;
		c->left -= n;
		if (!c->left) c->place = DATA_END;
		while (from && from < stop)
			if ((from = collect(&c->content, from, stop))) content(c);
		from = stop;
	}
}

static void came(struct connection *c) {
	static char piece[PIECE];
	ssize_t n = read(c->fd, piece, PIECE);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n > 0) {
		c->bytes += (uint64_t)n;
		take(c, piece, piece + n);
		if (c->place != TAIL) return;
	}
	close(c->fd);
	c->fd = -1;
	if (!c->reached) ended++;
}

static void report(void) {
	uint64_t events = 0, told = 0, untold = 0, again = 0, bytes = 0, last = 0;
	for (int i = 0; i < connections; i++) {
		struct connection *c = &all[i];
		events += c->events, told += c->told, untold += c->untold, again += c->again, bytes += c->bytes;
		if (c->reached > last) last = c->reached;
	}
	printf("{\"complete\":%d,\"ended\":%d,\"events\":%lu,\"told\":%lu,\"untold\":%lu,\"again\":%lu,\"bytes\":%lu,\"last\":%lu}\n",
		reached, ended, events, told, untold, again, bytes, last);
	fflush(stdout);
}

// asked reads the number of the last event; false: the input has ended.
static int asked(void) {
	char text[32];
	ssize_t n = read(0, text, sizeof text - 1);
	if (n <= 0) return 0;
	text[n] = 0;
	target = strtoull(text, 0, 10);
	for (int i = 0; i < connections; i++) arrived(&all[i]);
	return 1;
}

int main(int argc, char **argv) {
	if (argc != 4) return 2;
	connections = atoi(argv[2]);
	all = calloc((size_t)connections, sizeof *all);
	int epoll = epoll_create1(EPOLL_CLOEXEC), told = 0, reported = 0;
	if (!all || epoll < 0) die("memory");
	struct epoll_event input = {.events = EPOLLIN, .data.ptr = 0};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &input)) die("input");
	for (int i = 0; i < connections; i++) {
		all[i].fd = subscribe(argv[1], argv[3]);
		fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &e)) die("connection");
	}
	subscribe(argv[1], argv[3]); // the one that never reads
	for (;;) {
		struct epoll_event e[EVENTS];
		int n = epoll_wait(epoll, e, EVENTS, -1);
		if (n < 0 && errno != EINTR) die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (e[i].data.ptr) came(e[i].data.ptr);
			else if (!asked()) return 0;
		}
		if (!told && ready == connections) told = 1, puts("ready"), fflush(stdout);
		if (!reported && target != UINT64_MAX && reached + ended >= connections) reported = 1, report();
	}
}

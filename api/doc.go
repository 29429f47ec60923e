// Package api serves a gaffer.Controller over HTTP: on a unix socket, where the
// caller's user decides what it may do, and on TCP, where keys do.
//
// New makes a Server, which is a gaffer.App. What it serves is one table, routes:
// the addresses, who may use them, and what the document at /v1/openapi.json
// says of them are its columns.
package api

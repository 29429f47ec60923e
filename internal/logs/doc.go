// Package logs keeps what services write in plain files: for each stream of each slot
// one that holds exactly the bytes that were written, with an index beside it that says
// when. What was read from a service is in its file once, whenever this program is
// killed (Linux).
package logs

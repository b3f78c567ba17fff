// Package latchkey holds the nouns of the product: users, machines,
// authenticators, credentials, enrollments, policies, logons, prompts, events
// and errors. Every other package speaks in these words.
//
// It refuses to do anything: no I/O, no clock, no randomness, no decisions.
package latchkey

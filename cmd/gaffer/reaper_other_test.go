//go:build !linux

package main

func reaper() { panic("there are no subreapers here") }

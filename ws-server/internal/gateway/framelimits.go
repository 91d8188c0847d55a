package gateway

import "parley.chat/shared-contracts/frame"

// frameLimit says what bounds a type of frame besides FRAME_RATE, which bounds them all.
type frameLimit string

const (
	byMessages frameLimit = "the limit of messages" // and that of direct channels, for a send that opens one
	byMerging  frameLimit = "merged: however many there are, one leaves per interval"
	byFrames   frameLimit = "FRAME_RATE alone: it changes nothing that others see"
)

// frameLimits has every type of frame that this server takes: one that is not in it is refused.
var frameLimits = map[frame.Type]frameLimit{
	frame.Send: byMessages, frame.Edit: byMessages, frame.Delete: byMessages, frame.React: byMessages,
	frame.Typing: byMerging, frame.Delivered: byMerging, frame.Read: byMerging,
	frame.Subscribe: byFrames, frame.Unsubscribe: byFrames, frame.Presence: byFrames, frame.Auth: byFrames, frame.Ping: byFrames,
}

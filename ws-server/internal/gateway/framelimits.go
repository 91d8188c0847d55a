package gateway

import "parley.chat/shared-contracts/frame"

// frameLimit says what bounds a type of frame besides FRAME_RATE, which bounds them all.
type frameLimit string

const (
	limitedByMessageRate frameLimit = "the limit of messages" // and that of direct channels, for a send that opens one
	limitedByMerging     frameLimit = "merged: however many there are, one leaves per interval"
	limitedByFrameRate   frameLimit = "FRAME_RATE alone: it changes nothing that others see"
)

// frameLimits has every type of frame that this server takes: one that is not in it is refused.
var frameLimits = map[frame.Type]frameLimit{
	frame.Send: limitedByMessageRate, frame.Edit: limitedByMessageRate, frame.Delete: limitedByMessageRate, frame.React: limitedByMessageRate,
	frame.Typing: limitedByMerging, frame.Delivered: limitedByMerging, frame.Read: limitedByMerging,
	frame.Subscribe: limitedByFrameRate, frame.Unsubscribe: limitedByFrameRate, frame.Presence: limitedByFrameRate, frame.Auth: limitedByFrameRate, frame.Ping: limitedByFrameRate,
}

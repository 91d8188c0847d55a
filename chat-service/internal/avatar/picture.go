package avatar

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	_ "image/gif" // decoders are registered
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // as above
)

const (
	// maxBytes bounds what is fetched.
	maxBytes = 2 << 20
	// maxSide bounds the width and the height of what is decoded, in pixels: a small file can hold a huge picture.
	maxSide = 4096
	// side is the width and the height of what is kept, in pixels, unless the picture is smaller.
	side = 256
	// quality is that of JPEG.
	quality = 85
)

// Picture is a small square picture that this server made. What the original file held besides pixels is gone.
type Picture struct {
	Hash string // of Bytes: SHA-256 in hexadecimal digits
	Type string // image/jpeg, or image/png where something shows through
	Data []byte
}

// Make reads a PNG, JPEG, GIF (its first frame) or WebP picture, cuts out its middle and makes it small. Its error
// completes the sentence "the picture …".
func Make(source []byte) (Picture, error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(source))
	if err != nil {
		return Picture{}, errFormat
	}
	if config.Width > maxSide || config.Height > maxSide || config.Width < 1 || config.Height < 1 {
		return Picture{}, fmt.Errorf("is %d × %d pixels, and at most %d × %d are read", config.Width, config.Height, maxSide, maxSide)
	}
	original, _, err := image.Decode(bytes.NewReader(source))
	if err != nil {
		return Picture{}, errFormat
	}
	return encode(shrink(original))
}

// shrink returns the middle square of a picture, at most side pixels wide.
func shrink(original image.Image) *image.NRGBA {
	b := original.Bounds()
	edge := min(b.Dx(), b.Dy())
	corner := b.Min.Add(image.Pt((b.Dx()-edge)/2, (b.Dy()-edge)/2))
	small := image.NewNRGBA(image.Rect(0, 0, min(edge, side), min(edge, side)))
	draw.CatmullRom.Scale(small, small.Bounds(), original, image.Rectangle{Min: corner, Max: corner.Add(image.Pt(edge, edge))}, draw.Src, nil)
	return small
}

func encode(small *image.NRGBA) (Picture, error) {
	p := Picture{Type: "image/png"}
	var out bytes.Buffer
	var err error
	if small.Opaque() {
		p.Type = "image/jpeg"
		err = jpeg.Encode(&out, small, &jpeg.Options{Quality: quality})
	} else {
		err = png.Encode(&out, small)
	}
	if err != nil {
		return Picture{}, fmt.Errorf("cannot be encoded: %w", err)
	}
	p.Data = out.Bytes()
	sum := sha256.Sum256(p.Data)
	p.Hash = hex.EncodeToString(sum[:])
	return p, nil
}

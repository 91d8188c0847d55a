package avatar

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	_ "image/gif" // registers the decoder
	"image/jpeg"
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // registers the decoder

	"parley.chat/shared-contracts/apierr"
)

const (
	// maxBytes limits the size of a downloaded file, in bytes.
	maxBytes = 2 << 20
	// maxSide limits the width and height of a decoded picture, in pixels. A small file can contain
	// a huge picture.
	maxSide = 4096
	// side is the width and height of a stored picture, in pixels, unless the original is smaller.
	side = 256
	// quality is the JPEG quality.
	quality = 85
)

// Picture is a small square picture that this server has encoded. It contains only pixels and no
// other data from the original file.
type Picture struct {
	Hash string // SHA-256 of Data, in hexadecimal
	Type string // image/jpeg, or image/png if the picture has transparent parts
	Data []byte
}

// Make decodes a PNG, JPEG, GIF (first frame only) or WebP picture, crops it to its central square
// and shrinks it. Its error message is a phrase without a subject, such as "is not a PNG, JPEG, GIF
// or WebP picture".
func Make(source []byte) (Picture, error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(source))
	if err != nil {
		return Picture{}, errFormat
	}
	if config.Width > maxSide || config.Height > maxSide || config.Width < 1 || config.Height < 1 {
		return Picture{}, apierr.Violates(apierr.FieldPicturePixels, "has %d × %d pixels, but at most %d × %d are allowed", config.Width, config.Height, maxSide, maxSide).AtMost(maxSide)
	}
	original, _, err := image.Decode(bytes.NewReader(source))
	if err != nil {
		return Picture{}, errFormat
	}
	return encode(shrink(original))
}

// shrink returns the central square of a picture, scaled to at most side pixels.
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
		return Picture{}, fmt.Errorf("encode picture: %w", err)
	}
	p.Data = out.Bytes()
	sum := sha256.Sum256(p.Data)
	p.Hash = hex.EncodeToString(sum[:])
	return p, nil
}

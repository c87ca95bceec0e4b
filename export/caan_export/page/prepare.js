// Resizes a clean sketch to the input size of the encoder, as `Preprocessing.fit` does.
import { resize } from "./resize.js";

// `size` is the side after resizing, or null; `side` that of the input, which is cropped from the centre.
export function prepare({ grey, side: given }, { size, side, resample }) {
    const resized = size ?? given;
    const picture = resized === given ? grey : resize(grey, given, given, resized, resized, resample);
    if (resized === side) return picture;
    const cropped = new Uint8ClampedArray(side * side), from = Math.floor((resized - side) / 2);
    for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
            const row = y + from, column = x + from;
            const isInside = row >= 0 && column >= 0 && row < resized && column < resized;
            cropped[y * side + x] = isInside ? picture[row * resized + column] : 0;
        }
    }
    return cropped;
}

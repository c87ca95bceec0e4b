// Ranks photos by their embeddings, as `Gallery.search` and `Gallery.explain` do.

// Converts numbers of half precision, given as 16-bit integers.
export function fromHalf(halves) {
    if (globalThis.Float16Array) return new Float32Array(new Float16Array(halves.buffer, halves.byteOffset, halves.length));
    const values = new Float32Array(halves.length);
    for (let at = 0; at < halves.length; at++) {
        const exponent = (halves[at] >> 10) & 31, fraction = halves[at] & 1023;
        const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
        values[at] = halves[at] & 32768 ? -size : size;
    }
    return values;
}

// Scores of all photos: dot products with the query, minus `lowered`, the amounts of the correction of hubs, if given.
export function scoresOf(query, photos, lowered) {
    const width = query.length, scores = new Float32Array(photos.length / width);
    for (let photo = 0, place = 0; photo < scores.length; photo++) {
        let first = 0, second = 0, third = 0, fourth = 0, at = 0;
        for (; at + 3 < width; at += 4, place += 4) {
            first += query[at] * photos[place];
            second += query[at + 1] * photos[place + 1];
            third += query[at + 2] * photos[place + 2];
            fourth += query[at + 3] * photos[place + 3];
        }
        for (; at < width; at++, place++) first += query[at] * photos[place];
        scores[photo] = first + second + third + fourth - (lowered ? lowered[photo] : 0);
    }
    return scores;
}

// Positions of the `count` highest scores, best first.
export function best(scores, count) {
    const found = [];
    for (let at = 0; at < scores.length; at++) {
        if (found.length === count && scores[at] <= scores[found[count - 1]]) continue;
        let low = 0, high = found.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (scores[found[middle]] >= scores[at]) low = middle + 1;
            else high = middle;
        }
        found.splice(low, 0, at);
        found.length = Math.min(found.length, count);
    }
    return found;
}

// Late interaction of sketches with photos. `values` holds the tokens of all photos in int8: `tokens` tokens per photo,
// `width` values per token.
export class LateInteraction {
    constructor({ tokens, width, positionWeight, sigma }, values) {
        Object.assign(this, { tokens, width, values });
        const grid = Math.sqrt(tokens), centre = (index) => (index + 0.5) / grid;
        this.penalty = Float32Array.from({ length: tokens * tokens }, (_, pair) => {
            const sketch = Math.trunc(pair / tokens), photo = pair % tokens;
            const down = centre(Math.trunc(sketch / grid)) - centre(Math.trunc(photo / grid));
            const right = centre(sketch % grid) - centre(photo % grid);
            return (positionWeight * (down * down + right * right)) / (2 * sigma * sigma);
        });
    }

    // For each token of the sketch, the token of a photo that it matches, and the cosine minus the penalty. Tokens of the
    // sketch without ink are zero vectors, and match none (-1). `inked` is the number of other tokens, at least 1.
    matches(sketch, photo) {
        const { tokens, width, penalty } = this;
        const of = Float32Array.from(this.values.subarray(photo * tokens * width, (photo + 1) * tokens * width));
        for (let token = 0; token < tokens; token++) normalise(of.subarray(token * width, (token + 1) * width));
        const matched = new Int32Array(tokens).fill(-1), scores = new Float32Array(tokens);
        for (let from = 0; from < tokens; from++) {
            const one = sketch.subarray(from * width, (from + 1) * width);
            if (!one.some(Boolean)) continue;
            const cosines = scoresOf(one, of, penalty.subarray(from * tokens, (from + 1) * tokens));
            [matched[from]] = best(cosines, 1);
            scores[from] = cosines[matched[from]];
        }
        return { matched, scores, inked: Math.max(1, matched.filter((token) => token >= 0).length) };
    }

    // The mean over the tokens with ink.
    score(sketch, photo) {
        const { scores, inked } = this.matches(sketch, photo);
        return scores.reduce((sum, value) => sum + value, 0) / inked;
    }

    // Pairs of regions worth showing, the largest share first, and the shares of all regions of both.
    explain(sketch, photo, most) {
        const { tokens } = this, { matched, scores, inked } = this.matches(sketch, photo), grid = Math.sqrt(tokens);
        const pairs = [], heat = { sketch: new Float32Array(tokens), photo: new Float32Array(tokens) };
        matched.forEach((to, from) => {
            if (to < 0) return;
            const share = scores[from] / inked;
            heat.sketch[from] += share;
            heat.photo[to] += share;
            if (share > 0) pairs.push({ from, to, share });
        });
        pairs.sort((one, other) => other.share - one.share);
        const near = Math.max(1, Math.round(grid / 6)), chosen = [];
        const distance = (one, other) => Math.max(
            Math.abs(Math.trunc(one / grid) - Math.trunc(other / grid)), Math.abs((one % grid) - (other % grid)),
        );
        for (const pair of pairs) {
            const isNear = (other) => Math.max(distance(pair.from, other.from), distance(pair.to, other.to)) <= near;
            if (chosen.length < most && !chosen.some(isNear)) chosen.push(pair);
        }
        return { grid, heat, pairs: chosen };
    }
}

function normalise(vector) {
    let sum = 0;
    for (const value of vector) sum += value * value;
    const length = Math.sqrt(sum) || 1;
    for (let at = 0; at < vector.length; at++) vector[at] /= length;
}

// The `most` best results of a query: { photo, score, local, fused }.
export function search(query, gallery, most, candidates) {
    const scores = scoresOf(query.global, gallery.global, gallery.lowered);
    const isReranked = candidates > 0 && gallery.late && query.local;
    const found = best(scores, isReranked ? Math.max(most, candidates) : most);
    const results = found.map((photo) => ({ photo, score: scores[photo] }));
    if (!isReranked) return results;
    const weight = gallery.localWeight;
    for (const result of results) {
        result.local = gallery.late.score(query.local, result.photo);
        result.fused = weight === null ? result.local : (1 - weight) * result.score + weight * result.local;
    }
    return results.sort((one, other) => other.fused - one.fused).slice(0, most);
}

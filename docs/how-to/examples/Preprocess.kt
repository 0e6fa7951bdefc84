package org.dspkd

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/** An upright image in full size: rows of pixels, three values from 0 to 255 each. */
class Rgb(val width: Int, val height: Int, val values: IntArray)

/** The pixels that an output pixel is made of: the first, and the weight of each, with 22 bits of fraction. */
class Taps(val first: Int, val weights: IntArray)

/** In double precision, and in this order: the sums depend on it. */
fun coefficients(nIn: Int, nOut: Int): List<Taps> {
    val scale = nIn.toDouble() / nOut
    val support = max(scale, 1.0)
    return List(nOut) { at ->
        val centre = (at + 0.5) * scale
        val first = max((centre - support + 0.5).toInt(), 0)
        val last = min((centre + support + 0.5).toInt(), nIn)
        val weights = DoubleArray(last - first) { max(0.0, 1.0 - abs((first + it - centre + 0.5) * (1.0 / support))) }
        var total = 0.0
        for (weight in weights) total += weight
        Taps(first, IntArray(weights.size) { (0.5 + weights[it] / total * (1 shl 22)).toInt() })
    }
}

/** Resize the columns, rounded to 8 bits. */
fun across(image: Rgb, columns: Int): Rgb {
    val values = IntArray(3 * columns * image.height)
    coefficients(image.width, columns).forEachIndexed { column, taps ->
        for (row in 0 until image.height) for (c in 0..2) {
            var sum = 1 shl 21
            for (k in taps.weights.indices) {
                sum += image.values[3 * (row * image.width + taps.first + k) + c] * taps.weights[k]
            }
            values[3 * (row * columns + column) + c] = min(max(sum shr 22, 0), 255)
        }
    }
    return Rgb(columns, image.height, values)
}

fun transposed(image: Rgb) = Rgb(image.height, image.width, IntArray(image.values.size) { i ->
    val pixel = i / 3
    image.values[3 * ((pixel % image.height) * image.width + pixel / image.height) + i % 3]
})

/** The input of the network, contiguous: 3 x size x size, RGB in [0, 1]. shortSide and size are those of spec.json. */
fun preprocess(image: Rgb, shortSide: Int, size: Int): FloatArray {
    val short = min(image.width, image.height).toLong()
    val long = max(image.width, image.height).toLong()
    val other = ((2 * long * shortSide + short) / (2 * short)).toInt()
    val portrait = image.width <= image.height
    val columns = if (portrait) shortSide else other
    val rows = if (portrait) other else shortSide
    val small = transposed(across(transposed(across(image, columns)), rows))
    val top = (rows - size) / 2
    val left = (columns - size) / 2
    return FloatArray(3 * size * size) { i ->
        val row = top + i / size % size
        val column = left + i % size
        small.values[3 * (row * columns + column) + i / (size * size)] / 255f
    }
}

import org.dspkd.Rgb
import org.dspkd.preprocess
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun main(arguments: Array<String>) {
    for (name in arguments.drop(2)) {
        val bytes = ByteBuffer.wrap(File(name).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
        val width = bytes.int
        val height = bytes.int
        val pixels = IntArray(3 * width * height) { bytes.get().toInt() and 255 }
        val values = preprocess(Rgb(width, height, pixels), arguments[0].toInt(), arguments[1].toInt())
        val out = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        values.forEach { out.putFloat(it) }
        File(name + ".f32").writeBytes(out.array())
    }
}

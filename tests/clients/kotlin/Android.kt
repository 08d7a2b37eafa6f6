// The part of android.util that docs/clients.md uses.

package android.util

object Base64 {
    const val DEFAULT = 0
    const val NO_WRAP = 2

    fun encodeToString(bytes: ByteArray, flags: Int): String {
        require(flags == NO_WRAP)
        return java.util.Base64.getEncoder().encodeToString(bytes)
    }

    fun decode(text: String, flags: Int): ByteArray {
        require(flags == DEFAULT)
        return java.util.Base64.getMimeDecoder().decode(text)
    }
}

// What OkHttp 4 and 5 add in Kotlin to the OkHttp 3 of Debian's package.

import okhttp3.MediaType
import okhttp3.RequestBody
import okhttp3.Response
import okhttp3.ResponseBody

fun String.toMediaType(): MediaType = MediaType.get(this)

fun String.toRequestBody(type: MediaType): RequestBody = RequestBody.create(type, this)

val Response.body: ResponseBody? get() = body()

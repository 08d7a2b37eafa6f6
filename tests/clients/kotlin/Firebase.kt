// The declarations of Firebase that docs/clients.md uses. Tokens come from the environment.

class Task<T>(val result: T)

suspend fun <T> Task<T>.await(): T = result

class GetTokenResult(val token: String?)

class AppCheckToken(val token: String)

class FirebaseUser {
    fun getIdToken(refresh: Boolean) =
        Task(GetTokenResult(System.getenv(if (refresh) "RENEWED_ID_TOKEN" else "ID_TOKEN")))
}

class FirebaseAuth(val currentUser: FirebaseUser?)

class FirebaseAppCheck {
    fun getAppCheckToken(refresh: Boolean) = Task(AppCheckToken("none, refresh: $refresh"))
}

object Firebase {
    val auth = FirebaseAuth(FirebaseUser())
    val appCheck = FirebaseAppCheck()
}
